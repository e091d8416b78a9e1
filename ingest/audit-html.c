/* The page of an audit: everything is in it, nothing is fetched or run. Whatever comes from the lakehouse is
 * text: escaped, and within <bdi>, so that a name cannot turn the words around it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ingest/audit-priv.h"
#include "store/base/hex.h"

static const char style[] =
	":root{color-scheme:light dark;--ground:#fff;--ink:#1c1e21;--soft:#656b73;--line:#d9dce0;"
	"--bar:#b3261e;--trace:#3b6ea8}\n"
	"@media(prefers-color-scheme:dark){:root{--ground:#16181b;--ink:#e6e8ea;--soft:#9aa1a9;"
	"--line:#33383e;--bar:#f2776d;--trace:#7fb0e6}}\n"
	"body{background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif;"
	"margin:2rem auto;max-width:75rem;padding:0 1rem}\n"
	"h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\n"
	"table{border-collapse:collapse;width:100%}\n"
	"th,td{text-align:left;vertical-align:top;padding:.35rem .8rem .35rem 0;"
	"border-bottom:1px solid var(--line)}\n"
	"th{color:var(--soft);font-weight:600}\n"
	".about th{width:12rem}.wide{overflow-x:auto}\n"
	".hash{font-family:ui-monospace,monospace;overflow-wrap:anywhere}\n"
	".why{overflow-wrap:anywhere}summary{cursor:pointer}ul{margin:.3rem 0;padding-left:1.2rem}\n"
	"svg text{fill:var(--ink);font-size:13px}svg .bar{fill:var(--bar)}\n"
	"svg .trace{fill:none;stroke:var(--trace);stroke-width:1.5}\n";

static void put(struct tv_buf *b, const char *html)
{
	tv_buf_add_str(b, html);
}

/* --- text -------------------------------------------------------------------------------------- */

/* The bytes of one character of UTF-8, 0 when there is none. */
static size_t character(const char *s, size_t n)
{
	for (size_t length = 1; length <= 4 && length <= n; length++)
		if (tv_utf8_ok(s, length))
			return length;
	return 0;
}

static void put_text(struct tv_buf *b, const char *text)
{
	static const char *const escapes[128] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"
	};
	size_t n = strlen(text);
	for (size_t i = 0; i < n;) {
		size_t length = character(text + i, n - i);
		unsigned char c = (unsigned char)text[i];
		if (!length || c < 0x20 || c == 0x7f)
			put(b, "\xef\xbf\xbd"); /* the replacement character */
		else if (c < 0x80 && escapes[c])
			put(b, escapes[c]);
		else
			tv_buf_add(b, text + i, length);
		i += length ? length : 1;
	}
}

static void put_name(struct tv_buf *b, const char *name)
{
	put(b, "<bdi>");
	put_text(b, name);
	put(b, "</bdi>");
}

static void put_row(struct tv_buf *b, const char *what, const char *value, const char *class)
{
	if (!value || !*value)
		return;
	tv_buf_addf(b, "<tr><th scope=\"row\">%s</th><td class=\"%s\">", what, class);
	put_name(b, value);
	put(b, "</td></tr>\n");
}

/* --- pictures ---------------------------------------------------------------------------------- */

#define CHART_LABEL 120
#define CHART_BAR 420
#define CHART_ROW 24

/* Assets with findings, a bar a kind. */
static void put_chart(struct tv_buf *b, const struct tv_audit_report *report)
{
	size_t most = 0;
	unsigned kinds = 0, row = 0;
	for (unsigned k = 0; k < TV_AUDIT_KINDS; k++) {
		kinds += report->times[k] > 0;
		most = report->times[k] > most ? report->times[k] : most;
	}
	if (!kinds)
		return;
	tv_buf_addf(b,
		    "<svg width=\"%d\" height=\"%u\" viewBox=\"0 0 %d %u\" role=\"img\">"
		    "<title>Assets with findings, by kind</title>\n",
		    CHART_LABEL + CHART_BAR + 80, kinds * CHART_ROW, CHART_LABEL + CHART_BAR + 80,
		    kinds * CHART_ROW);
	for (unsigned k = 0; k < TV_AUDIT_KINDS; k++) {
		if (!report->times[k])
			continue;
		double width = fmax(2, CHART_BAR * (double)report->times[k] / (double)most);
		unsigned y = row++ * CHART_ROW;
		tv_buf_addf(b,
			    "<text x=\"%d\" y=\"%u\" text-anchor=\"end\">%s</text>"
			    "<rect class=\"bar\" x=\"%d\" y=\"%u\" width=\"%.1f\" height=\"%d\"/>"
			    "<text x=\"%.1f\" y=\"%u\">%zu</text>\n",
			    CHART_LABEL - 8, y + 16, tv_audit_kind_text(k), CHART_LABEL, y + 4,
			    width, CHART_ROW - 8, CHART_LABEL + width + 6, y + 16,
			    report->times[k]);
	}
	put(b, "</svg>\n");
}

#define SPARK_WIDTH 160
#define SPARK_HEIGHT 36

/* Closes on a logarithmic scale, with the row in question marked. */
static void put_spark(struct tv_buf *b, const struct tv_audit_finding *f)
{
	double low = INFINITY, high = -INFINITY;
	for (size_t i = 0; i < f->n_closes; i++) {
		if (!(f->closes[i] > 0 && isfinite(f->closes[i])))
			continue;
		low = fmin(low, log(f->closes[i]));
		high = fmax(high, log(f->closes[i]));
	}
	if (f->n_closes < 2 || !(low < high))
		return;
	tv_buf_addf(b,
		    "<svg width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">"
		    "<title>Closes around the first one</title><polyline class=\"trace\" points=\"",
		    SPARK_WIDTH, SPARK_HEIGHT, SPARK_WIDTH, SPARK_HEIGHT);
	double marked = NAN, step = (SPARK_WIDTH - 8.0) / (double)(f->n_closes - 1);
	for (size_t i = 0; i < f->n_closes; i++) {
		if (!(f->closes[i] > 0 && isfinite(f->closes[i])))
			continue;
		double y = 4 + (SPARK_HEIGHT - 8) * (high - log(f->closes[i])) / (high - low);
		tv_buf_addf(b, "%.1f,%.1f ", 4 + step * (double)i, y);
		marked = i == f->at ? y : marked;
	}
	put(b, "\"/>");
	if (!isnan(marked))
		tv_buf_addf(b, "<circle class=\"bar\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>",
			    4 + step * (double)f->at, marked);
	put(b, "</svg>");
}

/* --- parts of the page ------------------------------------------------------------------------- */

static void put_head(struct tv_buf *b)
{
	put(b,
	    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
	    "'unsafe-inline'\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	    "<title>Audit of a lakehouse</title>\n<style>\n");
	put(b, style);
	put(b, "</style>\n</head>\n<body>\n<h1>Audit of a lakehouse</h1>\n");
}

static void put_about(struct tv_buf *b, const struct tv_audit_report *report,
		      const struct tv_audit_about *about)
{
	char text[160];
	put(b, "<table class=\"about\">\n");
	put_row(b, "when", about->when, "");
	put_row(b, "folder", about->folder, "");
	put_row(b, "revision", about->ref, "");
	put_row(b, "foundation", about->foundation, "hash");
	put_row(b, "commit", about->commit, "hash");
	put_row(b, "compared with", about->against ? about->against : "nothing", "");
	put_row(b, "its foundation", about->against_foundation, "hash");
	put_row(b, "its commit", about->against_commit, "hash");
	snprintf(text, sizeof(text), "%zu judged in %.1f s; %zu have findings, %zu are quarantined",
		 report->assets, about->seconds, report->found, report->quarantined);
	put_row(b, "assets", text, "");
	snprintf(text, sizeof(text), "%zu have the same bytes, %zu were compared", report->same,
		 report->compared);
	put_row(b, "against", about->against ? text : NULL, "");
	put(b, "</table>\n");
}

static void put_asset(struct tv_buf *b, const struct tv_audited *item)
{
	put_name(b, item->symbol ? item->symbol : item->file);
}

static void put_finding(struct tv_buf *b, const struct tv_audited *item,
			const struct tv_audit_finding *f)
{
	put(b, "<tr><td>");
	put_asset(b, item);
	tv_buf_addf(b, "</td><td>%s</td><td class=\"why\">", tv_audit_kind_text(f->kind));
	if (f->n_told > 1)
		put(b, "<details><summary>");
	put_name(b, f->reason);
	if (f->n_told > 1)
		put(b, "</summary><ul>");
	for (size_t i = 0; i < f->n_told && f->n_told > 1; i++) {
		put(b, "<li>");
		put_name(b, f->told[i]);
		put(b, "</li>");
	}
	if (f->n_told > 1)
		put(b, "</ul></details>");
	put(b, "</td><td>");
	put_spark(b, f);
	put(b, "</td></tr>\n");
}

static void put_findings(struct tv_buf *b, const struct tv_audit_report *report)
{
	if (!report->found) {
		put(b, "<p>No findings.</p>\n");
		return;
	}
	put(b, "<h2>Findings</h2>\n");
	put_chart(b, report);
	put(b,
	    "<div class=\"wide\"><table class=\"findings\">\n<thead><tr><th>asset</th><th>kind</th>"
	    "<th>reason</th><th>closes</th></tr></thead>\n<tbody>\n");
	for (size_t i = 0; i < report->n; i++)
		for (size_t k = 0; k < report->items[i].n && !report->items[i].known; k++)
			put_finding(b, &report->items[i], &report->items[i].findings[k]);
	put(b, "</tbody></table></div>\n");
}

static void put_quarantined(struct tv_buf *b, const struct tv_audit_report *report)
{
	if (!report->quarantined)
		return;
	put(b,
	    "<h2>Quarantined before</h2>\n<div class=\"wide\"><table class=\"quarantined\">\n<thead><tr>"
	    "<th>asset</th><th>reason</th></tr></thead>\n<tbody>\n");
	for (size_t i = 0; i < report->n; i++) {
		const struct tv_audited *item = &report->items[i];
		if (!item->known)
			continue;
		put(b, "<tr><td>");
		put_asset(b, item);
		put(b, "</td><td class=\"why\">");
		put_name(b, item->quarantine ? item->quarantine : "no reason is told");
		put(b, "</td></tr>\n");
	}
	put(b, "</tbody></table></div>\n");
}

static void put_recorded(struct tv_buf *b, const struct tv_audit_report *report)
{
	size_t n = 0;
	for (unsigned g = 0; g < TV_GATES; g++)
		if (report->recorded[g])
			tv_buf_addf(b, "%s%s %zu", n++ ? ", " : "<p>Recorded, no findings: ",
				    tv_audit_kind_text(g), report->recorded[g]);
	if (n)
		put(b, ".</p>\n");
}

int tv_audit_html(const struct tv_audit_report *report, const struct tv_audit_about *about,
		  struct tv_buf *out, struct tv_err *err)
{
	put_head(out);
	put_about(out, report, about);
	put_findings(out, report);
	put_quarantined(out, report);
	put_recorded(out, report);
	put(out, "</body>\n</html>\n");
	return out->failed ? tv_err_nomem(err) : 0;
}
