/* The features of one symbol; features-files.c writes those of many. */
#include "ingest/features.h"

#include <stdlib.h>

#include "ingest/indicators.h"
#include "ingest/ratings.h"
#include "store/base/cleanup.h"

#define SCRATCH 3 /* columns that are in no file: Ichimoku's other lines, and what functions need */

static const char *const names[TV_FEATURES] = {
	[TV_RECOMMEND_MA] = "recommend_ma",
	[TV_RECOMMEND_OTHER] = "recommend_other",
	[TV_RECOMMEND_ALL] = "recommend_all",
	[TV_SMA_10] = "sma_10",
	[TV_SMA_20] = "sma_20",
	[TV_SMA_30] = "sma_30",
	[TV_SMA_50] = "sma_50",
	[TV_SMA_100] = "sma_100",
	[TV_SMA_200] = "sma_200",
	[TV_EMA_10] = "ema_10",
	[TV_EMA_20] = "ema_20",
	[TV_EMA_30] = "ema_30",
	[TV_EMA_50] = "ema_50",
	[TV_EMA_100] = "ema_100",
	[TV_EMA_200] = "ema_200",
	[TV_RSI] = "rsi",
	[TV_STOCH_K] = "stoch_k",
	[TV_STOCH_D] = "stoch_d",
	[TV_CCI] = "cci",
	[TV_ADX] = "adx",
	[TV_PLUS_DI] = "plus_di",
	[TV_MINUS_DI] = "minus_di",
	[TV_AO] = "ao",
	[TV_MOM] = "mom",
	[TV_MACD] = "macd",
	[TV_MACD_SIGNAL] = "macd_signal",
	[TV_STOCH_RSI_K] = "stoch_rsi_k",
	[TV_STOCH_RSI_D] = "stoch_rsi_d",
	[TV_WILLIAMS_R] = "williams_r",
	[TV_BULL_POWER] = "bull_power",
	[TV_BEAR_POWER] = "bear_power",
	[TV_UO] = "uo",
	[TV_ICHIMOKU_BASE] = "ichimoku_base",
	[TV_VWMA] = "vwma",
	[TV_HULL_MA] = "hull_ma",
	[TV_ATR] = "atr",
};

static const struct {
	enum tv_feature simple, exponential;
	size_t period;
} averages[] = {
	{ TV_SMA_10, TV_EMA_10, 10 },	 { TV_SMA_20, TV_EMA_20, 20 },
	{ TV_SMA_30, TV_EMA_30, 30 },	 { TV_SMA_50, TV_EMA_50, 50 },
	{ TV_SMA_100, TV_EMA_100, 100 }, { TV_SMA_200, TV_EMA_200, 200 },
};

const char *tv_feature_name(enum tv_feature feature)
{
	return names[feature];
}

void tv_features_free(struct tv_features *features)
{
	if (!features)
		return;
	free(features->memory);
	*features = TV_FEATURES_INIT;
}

static int reserve(struct tv_features *features, size_t n, struct tv_err *err)
{
	size_t columns = TV_FEATURES + SCRATCH;
	if (n <= features->cap)
		return 0;
	if (n > PTRDIFF_MAX / sizeof(double) / columns)
		return tv_err_nomem(err);
	double *memory = malloc(n * columns * sizeof(double));
	if (!memory)
		return tv_err_nomem(err);
	free(features->memory);
	features->memory = memory;
	features->cap = n;
	return 0;
}

static double *column(const struct tv_features *f, size_t number)
{
	return f->memory + number * f->cap;
}

const double *tv_features_values(const struct tv_features *features, enum tv_feature feature)
{
	return column(features, feature);
}

static void compute_averages(const struct tv_features *f, const struct tv_prices *p)
{
	double *scratch = column(f, TV_FEATURES);
	for (size_t a = 0; a < TV_ARRAY_LEN(averages); a++) {
		size_t period = averages[a].period;
		tv_indicator_sma(p->close, p->n, period, column(f, averages[a].simple));
		tv_indicator_ema(p->close, p->n, period, column(f, averages[a].exponential));
	}
	tv_indicator_vwma(p, 20, column(f, TV_VWMA));
	tv_indicator_hma(p->close, p->n, 9, scratch, column(f, TV_HULL_MA));
	tv_indicator_middle(p, 26, scratch, column(f, TV_ICHIMOKU_BASE));
}

static void compute_oscillators(const struct tv_features *f, const struct tv_prices *p)
{
	/* Those that take 2 n values of scratch get as much: cap is n at least. */
	double *scratch = column(f, TV_FEATURES);
	tv_indicator_rsi(p->close, p->n, 14, column(f, TV_RSI));
	tv_indicator_stochastic(p, 14, 3, scratch, column(f, TV_STOCH_K), column(f, TV_STOCH_D));
	tv_indicator_cci(p, 20, scratch, column(f, TV_CCI));
	tv_indicator_adx(p, 14, column(f, TV_PLUS_DI), column(f, TV_MINUS_DI), column(f, TV_ADX));
	tv_indicator_awesome(p, 5, 34, scratch, column(f, TV_AO));
	tv_indicator_momentum(p->close, p->n, 10, column(f, TV_MOM));
	tv_indicator_macd(p->close, p->n, 12, 26, 9, scratch, column(f, TV_MACD),
			  column(f, TV_MACD_SIGNAL));
	tv_indicator_stoch_rsi(p->close, p->n, 14, 14, 3, scratch, column(f, TV_STOCH_RSI_K),
			       column(f, TV_STOCH_RSI_D));
	tv_indicator_williams(p, 14, scratch, column(f, TV_WILLIAMS_R));
	tv_indicator_power(p, 13, column(f, TV_BULL_POWER), column(f, TV_BEAR_POWER));
	tv_indicator_ultimate(p, (const size_t[]){ 7, 14, 28 }, scratch, column(f, TV_UO));
	tv_indicator_atr(p, 14, column(f, TV_ATR));
}

static void describe(const struct tv_features *f, struct tv_rating_input *in)
{
	in->base = column(f, TV_ICHIMOKU_BASE);
	in->trend = column(f, TV_EMA_50);
	in->rsi = column(f, TV_RSI);
	in->stoch_k = column(f, TV_STOCH_K);
	in->stoch_d = column(f, TV_STOCH_D);
	in->cci = column(f, TV_CCI);
	in->adx = column(f, TV_ADX);
	in->plus_di = column(f, TV_PLUS_DI);
	in->minus_di = column(f, TV_MINUS_DI);
	in->awesome = column(f, TV_AO);
	in->momentum = column(f, TV_MOM);
	in->macd = column(f, TV_MACD);
	in->signal = column(f, TV_MACD_SIGNAL);
	in->stoch_rsi_k = column(f, TV_STOCH_RSI_K);
	in->stoch_rsi_d = column(f, TV_STOCH_RSI_D);
	in->williams = column(f, TV_WILLIAMS_R);
	in->bull = column(f, TV_BULL_POWER);
	in->bear = column(f, TV_BEAR_POWER);
	in->ultimate = column(f, TV_UO);
	in->averages[0] = column(f, TV_HULL_MA);
	in->averages[1] = column(f, TV_VWMA);
	for (size_t a = 0; a < TV_ARRAY_LEN(averages); a++) {
		in->averages[2 + 2 * a] = column(f, averages[a].simple);
		in->averages[3 + 2 * a] = column(f, averages[a].exponential);
	}
}

static void rate(const struct tv_features *f, const struct tv_prices *p)
{
	double *conversion = column(f, TV_FEATURES), *span_b = column(f, TV_FEATURES + 1);
	double *ma = column(f, TV_RECOMMEND_MA), *other = column(f, TV_RECOMMEND_OTHER);
	double *all = column(f, TV_RECOMMEND_ALL);
	struct tv_rating_input in = { .close = p->close,
				      .conversion = conversion,
				      .span_b = span_b };
	describe(f, &in);
	tv_indicator_middle(p, 9, column(f, TV_FEATURES + 2), conversion);
	tv_indicator_middle(p, 52, column(f, TV_FEATURES + 2), span_b);
	for (size_t i = 0; i < p->n; i++) {
		ma[i] = tv_rating_averages(&in, i);
		other[i] = tv_rating_oscillators(&in, i);
		all[i] = tv_rating_all(ma[i], other[i]);
	}
}

int tv_features_compute(struct tv_features *features, const struct tv_bars *bars,
			struct tv_err *err)
{
	const struct tv_prices prices = { bars->n, bars->high, bars->low, bars->close,
					  bars->volume };
	int r = reserve(features, bars->n, err);
	if (r < 0)
		return r;
	features->n = bars->n;
	if (!bars->n)
		return 0;
	compute_averages(features, &prices);
	compute_oscillators(features, &prices);
	rate(features, &prices);
	return 0;
}
