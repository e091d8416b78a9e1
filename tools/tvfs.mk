# The data cycle of tvfs as targets of a project's own Makefile:
#
#	include $(shell tvfs flow --makefile)
#
#	make flow-data CANDIDATES=export/2026-01-19        fetch, check, make features and matrix, validate, publish
#	make flow-production CANDIDATES=candidates.json    validate what is published, select the candidates
#	make data-repair                                   fetch what is missing, then the same
#	make data-audit                                    judge everything that is published
#
# TVFS: the program. CANDIDATES: lists, folders of lists, symbols. TVFS_FLAGS: options of tvfs flow. A target ends
# as the flow ends (docs/flows.md): with 13 and 15 it may have published all but some symbols.

tvfs_goal_before := $(.DEFAULT_GOAL)

TVFS ?= tvfs
CANDIDATES ?= $(CANDIDATES_FILE)
TVFS_FLAGS ?=

.PHONY: flow-data flow-production data-repair data-audit

flow-data:
	$(TVFS) flow data $(TVFS_FLAGS) $(CANDIDATES)

flow-production:
	$(TVFS) flow production $(TVFS_FLAGS) $(CANDIDATES)

data-repair:
	$(TVFS) flow repair $(TVFS_FLAGS)

data-audit:
	$(TVFS) flow audit $(TVFS_FLAGS)

# Including this does not make the first target of it the project's default.
.DEFAULT_GOAL := $(tvfs_goal_before)
