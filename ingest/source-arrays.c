#include "ingest/source-arrays.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"

#define EXACT_DIGITS 15	  /* so many decimal digits fit into a double */
#define EXACT_DECIMALS 22 /* and so does 10 to the power of this */

static const double powers[EXACT_DECIMALS + 1] = {
	1e0,  1e1,  1e2,  1e3,	1e4,  1e5,  1e6,  1e7,	1e8,  1e9,  1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

void tv_number_arrays_free(struct tv_number_arrays *a)
{
	if (!a)
		return;
	free(a->arrays);
	free(a->numbers);
	*a = (struct tv_number_arrays){ .arrays = NULL };
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* Over the digits, whose value is added to *mantissa. */
static const char *take_digits(const char *p, const char *end, uint64_t *mantissa)
{
	for (; p < end && is_digit(*p); p++)
		*mantissa = 10 * *mantissa + (uint64_t)(*p - '0');
	return p;
}

/*
 * A number of JSON's grammar, and where it ends; NULL when there is none. With few digits and no exponent the
 * quotient of two integers that doubles hold exactly is the nearest double (W. D. Clinger, "How to Read
 * Floating Point Numbers Accurately", 1990); all others are strtod's.
 */
static const char *take_number(const char *p, const char *end, double *out)
{
	const char *start = p;
	uint64_t mantissa = 0;
	size_t decimals = 0;
	p += p < end && *p == '-';
	const char *digits = p;
	p = take_digits(p, end, &mantissa);
	if (p == digits || (*digits == '0' && p > digits + 1))
		return NULL;
	size_t n = (size_t)(p - digits);
	if (p < end && *p == '.') {
		const char *point = ++p;
		p = take_digits(p, end, &mantissa);
		decimals = (size_t)(p - point);
		if (!decimals)
			return NULL;
	}
	bool plain = p < end && *p != 'e' && *p != 'E';
	if (plain && n + decimals <= EXACT_DIGITS) {
		double v = (double)mantissa / powers[decimals];
		*out = *start == '-' ? -v : v;
		return p;
	}
	/* What follows the array ends the number for strtod, too. */
	char *behind = NULL;
	*out = strtod(start, &behind);
	return behind <= end && isfinite(*out) && strchr(" \t\r\n,]", *behind) ? behind : NULL;
}

static bool add_number(struct tv_number_arrays *a, double v)
{
	if (!a->numbers || a->n_numbers == a->cap_numbers) {
		size_t cap = a->cap_numbers ? 2 * a->cap_numbers : 4096;
		double *grown = reallocarray(a->numbers, cap, sizeof(*grown));
		if (!grown)
			return false;
		a->numbers = grown;
		a->cap_numbers = cap;
	}
	a->numbers[a->n_numbers++] = v;
	return true;
}

static bool add_array(struct tv_number_arrays *a, size_t first)
{
	if (!a->arrays || a->n == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 16;
		struct tv_number_array *grown = reallocarray(a->arrays, cap, sizeof(*grown));
		if (!grown)
			return false;
		a->arrays = grown;
		a->cap = cap;
	}
	a->arrays[a->n++] = (struct tv_number_array){ first, a->n_numbers - first };
	return true;
}

/* Behind the ']' of an array of numbers whose '[' is at p, or NULL. */
static const char *take_array(struct tv_number_arrays *a, const char *p, const char *end)
{
	do {
		double v = NAN;
		p = skip_space(p + 1, end);
		if (end - p >= 4 && memcmp(p, "null", 4) == 0)
			p += 4;
		else
			p = take_number(p, end, &v);
		if (!p || !add_number(a, v))
			return NULL;
		p = skip_space(p, end);
	} while (p < end && *p == ',');
	return p < end && *p == ']' ? p + 1 : NULL;
}

/* Whether an array that is to be taken begins here. All that begin so are, or [K] could be another's. */
static bool begins_array(const char *p, const char *end)
{
	if (*p != '[')
		return false;
	p = skip_space(p + 1, end);
	return p < end && (is_digit(*p) || *p == '-' || *p == 'n');
}

/* Behind the text whose quote is at p. */
static const char *skip_text(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : end;
}

/* Copies up to where the next array of numbers may begin. */
static const char *copy_other(const char *p, const char *end, struct tv_buf *out)
{
	const char *start = p;
	do
		p = *p == '"' ? skip_text(p, end) : p + 1;
	while (p < end && *p != '[');
	tv_buf_add(out, start, (size_t)(p - start));
	return p;
}

cJSON *tv_number_arrays_take(const char *body, size_t n, struct tv_number_arrays *out)
{
	tv_autonumberarrays struct tv_number_arrays a = { .arrays = NULL };
	tv_autobuf struct tv_buf rest = TV_BUF_INIT;
	const char *p = body, *end = body + n;
	cJSON *doc = NULL;
	/* strtod needs something that ends every number */
	if (!n || !strchr("}] \t\r\n", end[-1]) || memchr(body, '\0', n))
		return NULL;
	while (p < end) {
		size_t first = a.n_numbers;
		if (!begins_array(p, end)) {
			p = copy_other(p, end, &rest);
			continue;
		}
		const char *behind = take_array(&a, p, end);
		if (!behind)
			return NULL;
		tv_buf_addf(&rest, "[%zu]", a.n);
		if (!add_array(&a, first))
			return NULL;
		p = behind;
	}
	if (rest.failed || a.n < 2 ||
	    tv_json_parse((const char *)rest.data, rest.len, &doc, NULL) < 0)
		return NULL;
	*out = a;
	a = (struct tv_number_arrays){ .arrays = NULL };
	return doc;
}

const struct tv_number_array *tv_number_array_of(const struct tv_number_arrays *a,
						 const cJSON *value)
{
	const cJSON *number = cJSON_IsArray(value) ? value->child : NULL;
	bool known = number && cJSON_IsNumber(number) && !number->next &&
		     number->valuedouble >= 0 && number->valuedouble < (double)a->n;
	return known ? &a->arrays[(size_t)number->valuedouble] : NULL;
}
