/*
 * JSON documents that are mostly arrays of numbers, as charts are: such arrays are read without a tree of
 * values. What is left of the document, with [K] in place of array number K, is for a JSON parser.
 *
 * It is a short cut and nothing else: whoever meets anything unusual takes the long way, which says what
 * is wrong. Pure; not thread-safe.
 */
#ifndef TV_INGEST_SOURCE_ARRAYS_H
#define TV_INGEST_SOURCE_ARRAYS_H

#include "store/base/json.h"

struct tv_number_array {
	size_t first, n; /* in `numbers` */
};

struct tv_number_arrays {
	size_t n, cap;
	struct tv_number_array *arrays; /* owned */
	size_t n_numbers, cap_numbers;
	double *numbers; /* owned; NaN is a null */
};

void tv_number_arrays_free(struct tv_number_arrays *a); /* empties it; NULL is fine */
#define tv_autonumberarrays __attribute__((cleanup(tv_number_arrays_free)))

/* Takes the arrays of numbers and nulls, two at least, out of a document. The rest is owned by the caller. NULL: out
 * of memory, or not a document to take short cuts with. *out holds nothing before. */
cJSON *tv_number_arrays_take(const char *body, size_t n, struct tv_number_arrays *out);

/* The array that [K] stands for; NULL when the value is nothing of the kind. */
const struct tv_number_array *tv_number_array_of(const struct tv_number_arrays *a,
						 const cJSON *value);

#endif
