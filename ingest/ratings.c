#include "ingest/ratings.h"

#include <math.h>
#include <stdbool.h>

#define DISPLACEMENT 26 /* rows by which Ichimoku's cloud is drawn ahead */

/* `all` is the sum of what the rule reads: NaN as soon as one of it is. */
static double vote(bool buy, bool sell, double all)
{
	if (isnan(all))
		return NAN;
	return buy ? 1 : sell ? -1 : 0;
}

static double before(const double *x, size_t i, size_t rows)
{
	return i < rows ? NAN : x[i - rows];
}

/* --- moving averages --------------------------------------------------------------------------- */

static double of_average(double average, double price)
{
	return vote(price > average, price < average, price + average);
}

/* The cloud over row i was computed DISPLACEMENT rows earlier. */
static double of_ichimoku(const struct tv_rating_input *in, size_t i)
{
	double price = in->close[i], conversion = in->conversion[i], base = in->base[i];
	double b = before(in->span_b, i, DISPLACEMENT);
	double a =
		(before(in->conversion, i, DISPLACEMENT) + before(in->base, i, DISPLACEMENT)) / 2;
	return vote(a > b && base > a && conversion > base && price > conversion,
		    a < b && base < a && conversion < base && price < conversion,
		    price + conversion + base + a + b);
}

/* --- oscillators ------------------------------------------------------------------------------- */

/* Turns back from beyond a bound: what is low and rises is bought, what is high and falls is sold. */
static double turning(const double *x, size_t i, double low, double high)
{
	double now = x[i], last = before(x, i, 1);
	return vote(now < low && now > last, now > high && now < last, now + last);
}

static double of_rsi(const struct tv_rating_input *in, size_t i)
{
	return turning(in->rsi, i, 30, 70);
}

static double of_cci(const struct tv_rating_input *in, size_t i)
{
	return turning(in->cci, i, -100, 100);
}

static double of_williams(const struct tv_rating_input *in, size_t i)
{
	return turning(in->williams, i, -80, -20);
}

static double of_stochastic(const struct tv_rating_input *in, size_t i)
{
	double k = in->stoch_k[i], d = in->stoch_d[i];
	return vote(k < 20 && d < 20 && k > d, k > 80 && d > 80 && k < d, k + d);
}

/* Against the trend only. */
static double of_stoch_rsi(const struct tv_rating_input *in, size_t i)
{
	double k = in->stoch_rsi_k[i], d = in->stoch_rsi_d[i];
	double price = in->close[i], trend = in->trend[i];
	return vote(price < trend && k < 20 && d < 20 && k > d,
		    price > trend && k > 80 && d > 80 && k < d, price + trend + k + d);
}

static double of_adx(const struct tv_rating_input *in, size_t i)
{
	double now = in->adx[i], last = before(in->adx, i, 1);
	double plus = in->plus_di[i], minus = in->minus_di[i];
	bool strong = now > 20 && now > last;
	return vote(strong && plus > minus, strong && plus < minus, now + last + plus + minus);
}

/* Crosses zero, or has a saucer: on one side of zero it turns away from it again. */
static double of_awesome(const struct tv_rating_input *in, size_t i)
{
	double now = in->awesome[i], last = before(in->awesome, i, 1);
	double earlier = before(in->awesome, i, 2);
	bool up = now > 0 && (last <= 0 || (now > last && earlier > last));
	bool down = now < 0 && (last >= 0 || (now < last && earlier < last));
	return vote(up, down, now + last + earlier);
}

static double of_momentum(const struct tv_rating_input *in, size_t i)
{
	return of_average(before(in->momentum, i, 1), in->momentum[i]);
}

static double of_macd(const struct tv_rating_input *in, size_t i)
{
	return of_average(in->signal[i], in->macd[i]);
}

/* With the trend, when the power against it fades. */
static double of_power(const struct tv_rating_input *in, size_t i)
{
	double price = in->close[i], trend = in->trend[i];
	double bull = in->bull[i], bulls_before = before(in->bull, i, 1);
	double bear = in->bear[i], bears_before = before(in->bear, i, 1);
	return vote(price > trend && bear < 0 && bear > bears_before,
		    price < trend && bull > 0 && bull < bulls_before,
		    price + trend + bull + bulls_before + bear + bears_before);
}

static double of_ultimate(const struct tv_rating_input *in, size_t i)
{
	double now = in->ultimate[i];
	return vote(now > 70, now < 30, now);
}

/* --- means ------------------------------------------------------------------------------------- */

struct tally {
	double sum;
	unsigned n;
};

static void count(struct tally *tally, double vote)
{
	if (isnan(vote))
		return;
	tally->sum += vote;
	tally->n++;
}

static double mean(const struct tally *tally)
{
	return tally->n ? tally->sum / tally->n : NAN;
}

double tv_rating_averages(const struct tv_rating_input *in, size_t i)
{
	struct tally tally = { 0, 0 };
	for (size_t a = 0; a < TV_RATING_AVERAGES; a++)
		count(&tally, of_average(in->averages[a][i], in->close[i]));
	count(&tally, of_ichimoku(in, i));
	return mean(&tally);
}

double tv_rating_oscillators(const struct tv_rating_input *in, size_t i)
{
	struct tally tally = { 0, 0 };
	count(&tally, of_rsi(in, i));
	count(&tally, of_stochastic(in, i));
	count(&tally, of_cci(in, i));
	count(&tally, of_adx(in, i));
	count(&tally, of_awesome(in, i));
	count(&tally, of_momentum(in, i));
	count(&tally, of_macd(in, i));
	count(&tally, of_stoch_rsi(in, i));
	count(&tally, of_williams(in, i));
	count(&tally, of_power(in, i));
	count(&tally, of_ultimate(in, i));
	return mean(&tally);
}

double tv_rating_all(double averages, double oscillators)
{
	struct tally tally = { 0, 0 };
	count(&tally, averages);
	count(&tally, oscillators);
	return mean(&tally);
}
