/* Well-known exchanges, by the names that EXCHANGE:SYMBOL uses for them; ascending. An exchange in several
 * countries has none here. Crypto exchanges and their days are in UTC; FX days end in New York. */
#include <stdlib.h>
#include <string.h>

#include "ingest/exchanges.h"
#include "store/base/cleanup.h"

static const struct tv_exchange known[] = {
	{ "AMEX", "America/New_York", "United States", "NYSE American and NYSE Arca", 0 },
	{ "ARCA", "America/New_York", "United States", "NYSE Arca", 0 },
	{ "ASX", "Australia/Sydney", "Australia", "Australian Securities Exchange", 0 },
	{ "BATS", "America/New_York", "United States", "Cboe BZX", 0 },
	{ "BINANCE", "Etc/UTC", NULL, "Binance", 1 },
	{ "BINANCEUS", "Etc/UTC", NULL, "Binance.US", 1 },
	{ "BIST", "Europe/Istanbul", "Turkey", "Borsa Istanbul", 0 },
	{ "BITFINEX", "Etc/UTC", NULL, "Bitfinex", 1 },
	{ "BITGET", "Etc/UTC", NULL, "Bitget", 1 },
	{ "BITHUMB", "Etc/UTC", NULL, "Bithumb", 1 },
	{ "BITMEX", "Etc/UTC", NULL, "BitMEX", 1 },
	{ "BITSTAMP", "Etc/UTC", NULL, "Bitstamp", 1 },
	{ "BME", "Europe/Madrid", "Spain", "Bolsas y Mercados Espanoles", 0 },
	{ "BMFBOVESPA", "America/Sao_Paulo", "Brazil", "B3", 0 },
	{ "BMV", "America/Mexico_City", "Mexico", "Mexican Stock Exchange", 0 },
	{ "BSE", "Asia/Kolkata", "India", "BSE, Mumbai", 0 },
	{ "BYBIT", "Etc/UTC", NULL, "Bybit", 1 },
	{ "CBOE", "America/Chicago", "United States", "Cboe indices and options", 0 },
	{ "CBOT", "America/Chicago", "United States", "Chicago Board of Trade", 0 },
	{ "CBOT_MINI", "America/Chicago", "United States", "CBOT E-mini futures", 0 },
	{ "CME", "America/Chicago", "United States", "Chicago Mercantile Exchange", 0 },
	{ "CME_MINI", "America/Chicago", "United States", "CME E-mini futures", 0 },
	{ "COINBASE", "Etc/UTC", NULL, "Coinbase", 1 },
	{ "COMEX", "America/New_York", "United States", "Commodity Exchange, New York", 0 },
	{ "CRYPTO", "Etc/UTC", NULL, "crypto currencies, many markets", 1 },
	{ "CRYPTOCAP", "Etc/UTC", NULL, "market values of crypto currencies", 1 },
	{ "CRYPTOCOM", "Etc/UTC", NULL, "Crypto.com", 1 },
	{ "DERIBIT", "Etc/UTC", NULL, "Deribit", 1 },
	{ "DJ", "America/New_York", "United States", "Dow Jones indices", 0 },
	{ "DYDX", "Etc/UTC", NULL, "dYdX", 1 },
	{ "EUREX", "Europe/Berlin", "Germany", "Eurex", 0 },
	{ "EURONEXT", "Europe/Paris", NULL, "Euronext", 0 },
	{ "FOREXCOM", "America/New_York", NULL, "foreign exchange, FOREX.com", 0 },
	{ "FWB", "Europe/Berlin", "Germany", "Frankfurt Stock Exchange", 0 },
	{ "FX", "America/New_York", NULL, "foreign exchange", 0 },
	{ "FXCM", "America/New_York", NULL, "foreign exchange, FXCM", 0 },
	{ "FX_IDC", "America/New_York", NULL, "foreign exchange, ICE Data Services", 0 },
	{ "GATEIO", "Etc/UTC", NULL, "Gate.io", 1 },
	{ "GEMINI", "Etc/UTC", NULL, "Gemini", 1 },
	{ "GPW", "Europe/Warsaw", "Poland", "Warsaw Stock Exchange", 0 },
	{ "HKEX", "Asia/Hong_Kong", "Hong Kong", "Hong Kong Exchanges", 0 },
	{ "HTX", "Etc/UTC", NULL, "HTX", 1 },
	{ "HUOBI", "Etc/UTC", NULL, "Huobi", 1 },
	{ "HYPERLIQUID", "Etc/UTC", NULL, "Hyperliquid", 1 },
	{ "ICEEUR", "Europe/London", "United Kingdom", "ICE Futures Europe", 0 },
	{ "ICEUS", "America/New_York", "United States", "ICE Futures US", 0 },
	{ "IDX", "Asia/Jakarta", "Indonesia", "Indonesia Stock Exchange", 0 },
	{ "JSE", "Africa/Johannesburg", "South Africa", "Johannesburg Stock Exchange", 0 },
	{ "KRAKEN", "Etc/UTC", NULL, "Kraken", 1 },
	{ "KRX", "Asia/Seoul", "South Korea", "Korea Exchange", 0 },
	{ "KUCOIN", "Etc/UTC", NULL, "KuCoin", 1 },
	{ "LSE", "Europe/London", "United Kingdom", "London Stock Exchange", 0 },
	{ "MEXC", "Etc/UTC", NULL, "MEXC", 1 },
	{ "MIL", "Europe/Rome", "Italy", "Borsa Italiana", 0 },
	{ "NASDAQ", "America/New_York", "United States", "Nasdaq Stock Market", 0 },
	{ "NSE", "Asia/Kolkata", "India", "National Stock Exchange of India", 0 },
	{ "NYMEX", "America/New_York", "United States", "New York Mercantile Exchange", 0 },
	{ "NYSE", "America/New_York", "United States", "New York Stock Exchange", 0 },
	{ "NZX", "Pacific/Auckland", "New Zealand", "New Zealand's Exchange", 0 },
	{ "OANDA", "America/New_York", NULL, "foreign exchange, OANDA", 0 },
	{ "OKX", "Etc/UTC", NULL, "OKX", 1 },
	{ "OMXCOP", "Europe/Copenhagen", "Denmark", "Nasdaq Copenhagen", 0 },
	{ "OMXHEX", "Europe/Helsinki", "Finland", "Nasdaq Helsinki", 0 },
	{ "OMXSTO", "Europe/Stockholm", "Sweden", "Nasdaq Stockholm", 0 },
	{ "OSL", "Europe/Oslo", "Norway", "Oslo Bors", 0 },
	{ "OTC", "America/New_York", "United States", "over-the-counter stocks", 0 },
	{ "PHEMEX", "Etc/UTC", NULL, "Phemex", 1 },
	{ "POLONIEX", "Etc/UTC", NULL, "Poloniex", 1 },
	{ "SET", "Asia/Bangkok", "Thailand", "Stock Exchange of Thailand", 0 },
	{ "SGX", "Asia/Singapore", "Singapore", "Singapore Exchange", 0 },
	{ "SIX", "Europe/Zurich", "Switzerland", "SIX Swiss Exchange", 0 },
	{ "SP", "America/New_York", "United States", "S&P indices", 0 },
	{ "SSE", "Asia/Shanghai", "China", "Shanghai Stock Exchange", 0 },
	{ "SZSE", "Asia/Shanghai", "China", "Shenzhen Stock Exchange", 0 },
	{ "TADAWUL", "Asia/Riyadh", "Saudi Arabia", "Saudi Exchange", 0 },
	{ "TASE", "Asia/Jerusalem", "Israel", "Tel Aviv Stock Exchange", 0 },
	{ "TSE", "Asia/Tokyo", "Japan", "Tokyo Stock Exchange", 0 },
	{ "TSX", "America/Toronto", "Canada", "Toronto Stock Exchange", 0 },
	{ "TSXV", "America/Toronto", "Canada", "TSX Venture Exchange", 0 },
	{ "TVC", "America/New_York", NULL, "indices and commodities", 0 },
	{ "TWSE", "Asia/Taipei", "Taiwan", "Taiwan Stock Exchange", 0 },
	{ "UPBIT", "Etc/UTC", NULL, "Upbit", 1 },
	{ "VIE", "Europe/Vienna", "Austria", "Vienna Stock Exchange", 0 },
	{ "WHITEBIT", "Etc/UTC", NULL, "WhiteBIT", 1 },
	{ "XETR", "Europe/Berlin", "Germany", "Xetra", 0 },
};

static int by_name(const void *name, const void *exchange)
{
	return strcmp(name, ((const struct tv_exchange *)exchange)->name);
}

const struct tv_exchange *tv_exchange_known(const char *name)
{
	return bsearch(name, known, TV_ARRAY_LEN(known), sizeof(*known), by_name);
}

const struct tv_exchange *tv_exchanges_known(size_t *n)
{
	*n = TV_ARRAY_LEN(known);
	return known;
}
