/*
 * Whether daily returns are distributed as they were: two robust statistics of two samples, and a rule on
 * both. docs/gates.md says why these, and what real prices give.
 *
 * Pure; nothing here has state.
 */
#ifndef TV_INGEST_DISTRIBUTION_H
#define TV_INGEST_DISTRIBUTION_H

#include "ingest/bars.h"

#define TV_RETURNS_NOW 60	  /* the sample that is judged: the last so many returns */
#define TV_RETURNS_BEFORE 250	  /* what it is compared with: at most so many before them */
#define TV_RETURNS_BEFORE_MIN 120 /* with fewer nothing is said */
#define TV_RETURNS_RATIO 8.0	  /* of the scales, either way */
#define TV_RETURNS_CHANCE 1e-4	  /* that samples of one distribution are as far apart */

/* The middle value, or the mean of both; of n >= 1 values, which are sorted. */
double tv_median(double *values, size_t n);

/* The median of distances from the median (Hampel 1974); replaces the n >= 1 values. */
double tv_deviation(double *values, size_t n);

/* The two-sample statistic of Kolmogorov and Smirnov: the largest distance of the empirical distribution
 * functions. Both samples are sorted; none may be empty. */
double tv_ks_distance(double *a, size_t n_a, double *b, size_t n_b);

/* The distance that samples of one distribution exceed with this chance: Smirnov's asymptotic formula. */
double tv_ks_critical(double chance, size_t n_a, size_t n_b);

struct tv_returns_shift {
	size_t n_now, n_before;
	double scale_now, scale_before; /* tv_deviation of each */
	double distance, critical;	/* see above */
	bool judged; /* there are enough returns, and those before move at all; else the rest is 0 */
	bool shifted;
};

/* The last returns of `now` against those in `before` that end before them. Both in order; they may be the
 * same. A return is the logarithm of a close over that of the row before; rows without a price are left out. */
void tv_returns_compare(const struct tv_bars *now, const struct tv_bars *before,
			struct tv_returns_shift *out);

#endif
