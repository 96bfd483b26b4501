# SPDX-License-Identifier: MIT
# make help      what there is to make
#
# One make for everything in user space. Each folder's build.mk adds to the
# lists below; nothing is built but under build/.
#
#   PROGS        programs to install; NAME_SRCS, NAME_LIBS (pkg-config names),
#                NAME_LDLIBS, NAME_DEPS (further prerequisites, libraries)
#   UNIT         unit tests (cmocka), same variables
#   TOOLS        programs that only tests, benches and the demo use
#   LIBRARIES    files of the library; their rules stand in lib/build.mk

VERSION := 0.1.0
VARIANT ?= release
B := build/$(VARIANT)
PREFIX ?= /usr/local
DESTDIR ?=
PAGER ?= kmod

CC ?= cc
CSTD := -std=gnu11
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
OPT_release := -O2 -g
OPT_debug := -O0 -g3
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT := $(OPT_$(VARIANT))
ifeq ($(OPT),)
$(error VARIANT must be release, debug, asan or tsan)
endif
# MUTANT=NAME compiles one deliberate break in: see tests/mutants.list.
ifdef MUTANT
B := build/mutant-$(MUTANT)
OPT += -DDSM_MUTANT_$(MUTANT)
WARN := -w # what a break leaves unused is no error
endif
CPPFLAGS := -D_GNU_SOURCE -DDSM_VERSION='"$(VERSION)"' -I. -Iuapi -Ilib/include
# Calls within a program or library are direct, those into another one take no detour.
CFLAGS := $(CSTD) $(OPT) $(WARN) -fPIC -fno-semantic-interposition -fno-plt -pthread -MMD -MP
LDFLAGS := $(filter -fsanitize=%,$(OPT)) -pthread -Wl,-z,now

# V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $@)

PROGS :=
UNIT :=
TOOLS :=
LIBRARIES :=
.DEFAULT_GOAL := all
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

include $(sort $(wildcard agent/build.mk agent/*/build.mk lib/build.mk lib/*/build.mk tests/build.mk tests/*/build.mk kmod/build.mk docs/build.mk))

# Packages are looked after once, then again whenever deps.sh changes (or by `make deps`).
build/.deps-%: scripts/deps.sh
	@mkdir -p $(@D)
	@scripts/deps.sh $*
	@touch $@

$(B)/%.o: %.c | build/.deps-build
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(if $(PKG),$(shell pkg-config --cflags $(sort $(PKG)))) $(CFLAGS) -c -o $@ $<

# A program's objects see the pkg-config flags of the libraries it is linked with.
define program
$(1)_OBJS := $$($(1)_SRCS:%.c=$(B)/%.o)
$$($(1)_OBJS): PKG += $$($(1)_LIBS)
$(B)/$(1): $$($(1)_OBJS) $$($(1)_DEPS)
	@mkdir -p $$(@D)
	$$(call say,LD)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$(filter-out %.h,$$^) $$(if $$($(1)_LIBS),$$(shell pkg-config --libs $$($(1)_LIBS))) $$($(1)_LDLIBS)
endef
$(foreach p,$(PROGS) $(TOOLS) $(UNIT),$(eval $(call program,$(p))))
-include $(sort $(foreach p,$(PROGS) $(TOOLS) $(UNIT),$($(p)_SRCS:%.c=$(B)/%.d)))
$(UNIT:%=$(B)/%): | build/.deps-test

.PHONY: all programs examples units tools help deps clean
all: programs examples
programs: $(PROGS:%=$(B)/%) $(LIBRARIES)
examples: $(EXAMPLES:%=$(B)/%)
units: $(UNIT:%=$(B)/%)
tools: $(TOOLS:%=$(B)/%)

deps:
	scripts/deps.sh all

clean:
	rm -rf build

include scripts/install.mk scripts/targets.mk
