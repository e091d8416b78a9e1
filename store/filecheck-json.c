/*
 * The JSON half of filecheck: a state machine over bytes. A state says what may come next; numbers
 * follow the grammar of RFC 8259 digit by digit, so that "01", "1." and "-" are refused.
 */
#include <string.h>

#include "store/base/cleanup.h"
#include "store/filecheck.h"

enum state {
	VALUE,	     /* a value */
	FIRST_VALUE, /* a value, or the end of an empty array */
	FIRST_KEY,   /* a key, or the end of an empty object */
	KEY,	     /* a key */
	COLON,
	AFTER, /* a comma, or the end of what is open */
	END,   /* nothing but space */
	STRING,
	ESCAPE,
	UNICODE,  /* four hexadecimal digits */
	WORD,	  /* the rest of true, false, null, NaN, Infinity */
	MINUS,	  /* behind a minus sign */
	ZERO,	  /* behind a leading zero */
	DIGITS,	  /* in the integer part */
	POINT,	  /* behind the point: a digit must come */
	FRACTION, /* in the fraction */
	EXPONENT, /* behind e: a sign or a digit */
	EXP_SIGN, /* behind its sign: a digit must come */
	EXP_DIGITS,
};

void tv_jsoncheck_init(struct tv_jsoncheck *c)
{
	memset(c, 0, sizeof(*c));
	c->state = VALUE;
	c->line = 1;
}

static int refuse(const struct tv_jsoncheck *c, const char *why, struct tv_err *err)
{
	return tv_err_set(err, -TV_E_GATE, "is not valid JSON: line %llu: %s",
			  (unsigned long long)c->line, why);
}

static bool is_digit(uint8_t b)
{
	return b >= '0' && b <= '9';
}

static bool is_space(uint8_t b)
{
	return b == ' ' || b == '\t' || b == '\n' || b == '\r';
}

static bool in_object(const struct tv_jsoncheck *c)
{
	unsigned level = c->depth - 1;
	return c->nesting[level / 8] >> (level % 8) & 1;
}

/* A value is complete. */
static void value_done(struct tv_jsoncheck *c)
{
	c->state = c->depth ? AFTER : END;
}

static int open_level(struct tv_jsoncheck *c, bool object, struct tv_err *err)
{
	if (c->depth == TV_JSON_DEPTH)
		return refuse(c, "nested too deeply", err);
	uint8_t bit = (uint8_t)(1u << (c->depth % 8));
	uint8_t *byte = &c->nesting[c->depth / 8];
	*byte = object ? (uint8_t)(*byte | bit) : (uint8_t)(*byte & ~bit);
	c->depth++;
	c->state = object ? FIRST_KEY : FIRST_VALUE;
	return 0;
}

static int close_level(struct tv_jsoncheck *c, bool object, struct tv_err *err)
{
	if (!c->depth || in_object(c) != object)
		return refuse(c, object ? "unexpected '}'" : "unexpected ']'", err);
	c->depth--;
	value_done(c);
	return 0;
}

static int begin_word(struct tv_jsoncheck *c, uint8_t b, struct tv_err *err)
{
	static const char *const words[] = { "true", "false", "null", "NaN", "Infinity" };
	for (size_t i = 0; i < TV_ARRAY_LEN(words); i++)
		if ((uint8_t)words[i][0] == b) {
			c->word = words[i];
			c->word_at = 1;
			c->state = WORD;
			return 0;
		}
	return refuse(c, "a value is missing or unknown", err);
}

static int begin_value(struct tv_jsoncheck *c, uint8_t b, struct tv_err *err)
{
	if (b == '{' || b == '[')
		return open_level(c, b == '{', err);
	if (b == '"') {
		c->key = false;
		c->state = STRING;
	} else if (b == '-') {
		c->state = MINUS;
	} else if (is_digit(b)) {
		c->state = b == '0' ? ZERO : DIGITS;
	} else {
		return begin_word(c, b, err);
	}
	return 0;
}

static int begin_key(struct tv_jsoncheck *c, uint8_t b, struct tv_err *err)
{
	if (b != '"')
		return refuse(c, "a key in quotes is missing", err);
	c->key = true;
	c->state = STRING;
	return 0;
}

static int after_value(struct tv_jsoncheck *c, uint8_t b, struct tv_err *err)
{
	if (b == '}' || b == ']')
		return close_level(c, b == '}', err);
	if (b != ',')
		return refuse(c, "',' or the end of an object or array is missing", err);
	c->state = in_object(c) ? KEY : VALUE;
	return 0;
}

/* States between values: what may come next is a structural byte. */
static int between(struct tv_jsoncheck *c, uint8_t b, struct tv_err *err)
{
	if (is_space(b))
		return 0;
	switch ((enum state)c->state) {
	case FIRST_VALUE:
		return b == ']' ? close_level(c, false, err) : begin_value(c, b, err);
	case VALUE:
		return begin_value(c, b, err);
	case FIRST_KEY:
		return b == '}' ? close_level(c, true, err) : begin_key(c, b, err);
	case KEY:
		return begin_key(c, b, err);
	case COLON:
		if (b != ':')
			return refuse(c, "':' is missing", err);
		c->state = VALUE;
		return 0;
	case AFTER:
		return after_value(c, b, err);
	default:
		return refuse(c, "something follows the end", err);
	}
}

static int in_string(struct tv_jsoncheck *c, uint8_t b, struct tv_err *err)
{
	if (c->state == STRING) {
		if (b < 0x20)
			return refuse(c, "a control character in a string", err);
		if (b == '\\')
			c->state = ESCAPE;
		else if (b == '"' && c->key)
			c->state = COLON;
		else if (b == '"')
			value_done(c);
	} else if (c->state == ESCAPE) {
		if (!b || !strchr("\"\\/bfnrtu", b))
			return refuse(c, "an unknown escape in a string", err);
		c->word_at = 0;
		c->state = b == 'u' ? UNICODE : STRING;
	} else {
		if (!b || !strchr("0123456789abcdefABCDEF", b))
			return refuse(c, "a bad \\u escape", err);
		if (++c->word_at == 4)
			c->state = STRING;
	}
	return 0;
}

static int in_word(struct tv_jsoncheck *c, uint8_t b, struct tv_err *err)
{
	if ((uint8_t)c->word[c->word_at] != b)
		return refuse(c, "an unknown word", err);
	if (!c->word[++c->word_at])
		value_done(c);
	return 0;
}

/* One more byte of a number. 1: it was the number's end and belongs to what follows. */
static int in_number(struct tv_jsoncheck *c, uint8_t b, struct tv_err *err)
{
	enum state s = (enum state)c->state;
	bool digit = is_digit(b);
	if (s == MINUS && b == 'I')
		return begin_word(c, b, err);
	if (digit && s != ZERO) {
		if (s == MINUS)
			c->state = b == '0' ? ZERO : DIGITS;
		else if (s == POINT)
			c->state = FRACTION;
		else if (s == EXPONENT || s == EXP_SIGN)
			c->state = EXP_DIGITS;
		return 0;
	}
	if (s == EXPONENT && (b == '+' || b == '-')) {
		c->state = EXP_SIGN;
		return 0;
	}
	bool whole = s == ZERO || s == DIGITS;
	if (b == '.' && whole) {
		c->state = POINT;
		return 0;
	}
	if ((b == 'e' || b == 'E') && (whole || s == FRACTION)) {
		c->state = EXPONENT;
		return 0;
	}
	if (digit || !(whole || s == FRACTION || s == EXP_DIGITS))
		return refuse(c, "a malformed number", err);
	value_done(c);
	return 1;
}

static int feed_byte(struct tv_jsoncheck *c, uint8_t b, struct tv_err *err)
{
	if (c->state >= MINUS) {
		int res = in_number(c, b, err);
		if (res != 1)
			return res;
	}
	if (c->state == WORD)
		return in_word(c, b, err);
	if (c->state >= STRING && c->state <= UNICODE)
		return in_string(c, b, err);
	int res = between(c, b, err);
	if (b == '\n')
		c->line++;
	return res;
}

/* A byte order mark is what some editors leave; Python's json wants "utf-8-sig" for it, so it is
 * let through only as the very first three bytes. */
static bool skip_bom(struct tv_jsoncheck *c, uint8_t b)
{
	static const uint8_t mark[] = { 0xef, 0xbb, 0xbf };
	if (c->bom < sizeof(mark) && b == mark[c->bom]) {
		c->bom++;
		return true;
	}
	c->bom = sizeof(mark);
	return false;
}

int tv_jsoncheck_feed(struct tv_jsoncheck *c, const void *bytes, size_t n, struct tv_err *err)
{
	const uint8_t *p = bytes;
	for (size_t i = 0; i < n; i++) {
		if (c->bom < 3 && skip_bom(c, p[i]))
			continue;
		int res = feed_byte(c, p[i], err);
		if (res < 0)
			return res;
	}
	return 0;
}

int tv_jsoncheck_end(struct tv_jsoncheck *c, struct tv_err *err)
{
	/* A number at the very end is only known to be over now. */
	if (c->state >= MINUS) {
		int res = in_number(c, ' ', err);
		if (res < 0)
			return res;
	}
	if (c->state != END)
		return refuse(c, "it ends in the middle", err);
	return 0;
}
