/*
 * Ratings: votes of moving averages and oscillators, from -1 (all say sell) to 1 (all say buy). The
 * rules are those that TradingView publishes for its Technical Ratings (help centre, "Technical
 * Ratings"; library TechnicalRating, version 3, of November 2024). docs/features.md has each of them.
 *
 * A vote is 1, 0 or -1. It is missing until all that its rule reads exists; a rating is the mean of
 * the votes that are there, and NaN where there is none.
 */
#ifndef TV_INGEST_RATINGS_H
#define TV_INGEST_RATINGS_H

#include <stddef.h>

#define TV_RATING_AVERAGES 14 /* six simple, six exponential, Hull, volume-weighted */

/* What is rated: arrays of n values, NaN where there is none. */
struct tv_rating_input {
	const double *close;
	const double *averages[TV_RATING_AVERAGES];
	const double *conversion, *base, *span_b; /* Ichimoku's lines, where they are computed */
	const double *trend;			  /* the exponential average of 50 */
	const double *rsi, *stoch_k, *stoch_d, *cci, *adx, *plus_di, *minus_di, *awesome;
	const double *momentum, *macd, *signal, *stoch_rsi_k, *stoch_rsi_d, *williams;
	const double *bull, *bear, *ultimate;
};

/* The ratings of row i. */
double tv_rating_averages(const struct tv_rating_input *in, size_t i);
double tv_rating_oscillators(const struct tv_rating_input *in, size_t i);

/* The mean of both; one of them where the other is NaN. */
double tv_rating_all(double averages, double oscillators);

#endif
