/*
 * What was found in a symbol's bars: by which gate, how bad, where. The first few of each kind are
 * told, all are counted. Names of gates and severities are for programs and do not change.
 *
 * Not thread-safe. After a failure (-ENOMEM) the findings may lack what was being added.
 */
#ifndef TV_INGEST_FINDINGS_H
#define TV_INGEST_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/err.h"
#include "store/base/json.h"

enum tv_gate {
	TV_GATE_EMPTY,	     /* "empty" */
	TV_GATE_ORDER,	     /* "order" */
	TV_GATE_DAY,	     /* "day" */
	TV_GATE_FUTURE,	     /* "future" */
	TV_GATE_VALUES,	     /* "values" */
	TV_GATE_OHLC,	     /* "ohlc" */
	TV_GATE_SESSION,     /* "session" */
	TV_GATE_PADDING,     /* "padding" */
	TV_GATE_TOXICITY,    /* "toxicity" */
	TV_GATE_WICK,	     /* "wick" */
	TV_GATE_GAP,	     /* "gap" */
	TV_GATE_STALE,	     /* "stale" */
	TV_GATE_RESTATEMENT, /* "restatement" */
	TV_GATES
};

enum tv_severity {
	TV_RECORD, /* "record": the row is published, the finding is kept */
	TV_CUT,	   /* "cut": the row is left out, the rest is published */
	TV_REFUSE, /* "refuse": nothing of the symbol is published */
	TV_SEVERITIES
};

const char *tv_gate_text(enum tv_gate gate);
const char *tv_severity_text(enum tv_severity severity);

#define TV_FINDING_TEXT 192

struct tv_finding {
	enum tv_gate gate;
	enum tv_severity severity;
	size_t row;		    /* the first one, from 0, of the bars that were judged */
	size_t rows;		    /* how many rows, or missing sessions, it is about */
	int64_t timestamp;	    /* of the first row */
	char text[TV_FINDING_TEXT]; /* one line that begins with the day */
};

struct tv_findings {
	struct tv_finding *told; /* owned; in the order in which they were found */
	size_t n, cap;
	size_t told_max;		       /* of a kind, which is a gate and a severity */
	size_t times[TV_GATES][TV_SEVERITIES]; /* all, told or not */
	size_t rows[TV_GATES][TV_SEVERITIES];
};

#define TV_FINDINGS_TOLD 20
#define TV_FINDINGS_INIT ((struct tv_findings){ .told = NULL, .told_max = TV_FINDINGS_TOLD })

void tv_findings_free(struct tv_findings *f); /* empties them, told_max stays; NULL is fine */
#define tv_autofindings __attribute__((cleanup(tv_findings_free)))

/* Counts a finding and, if it is to be told, keeps it with this text behind its day. where->text is not
 * looked at. -ENOMEM. */
int tv_findings_add(struct tv_findings *f, const struct tv_finding *where, struct tv_err *err,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The worst severity; TV_SEVERITIES when nothing was found. */
enum tv_severity tv_findings_worst(const struct tv_findings *f);

/* Times at which a gate found something, of any severity; all gates: TV_GATES. */
size_t tv_findings_times(const struct tv_findings *f, enum tv_gate gate);

/* Why the symbol was refused, in one line: the first finding that does, and how many more there are.
 * "" when nothing does. */
void tv_findings_reason(const struct tv_findings *f, char *out, size_t n);

/* [{"gate", "severity", "times", "rows", "told": [{"row", "rows", "day", "text"}]}], a member for each kind
 * that was found. The caller owns it. NULL when out of memory. */
cJSON *tv_findings_json(const struct tv_findings *f);

#endif
