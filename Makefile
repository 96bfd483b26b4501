# SPDX-License-Identifier: MIT
# make help      what there is to make
#
# One make for everything in user space. Each folder's build.mk adds to the
# lists below; nothing is built but under build/$(VARIANT)/.
#
#   PROGS        programs to install; NAME_SRCS, NAME_LIBS (pkg-config names),
#                NAME_LDLIBS, NAME_DEPS (further prerequisites, libraries)
#   UNIT         unit tests (cmocka), same variables
#   TOOLS        programs that only tests, benches and the demo use

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
endif
CPPFLAGS := -D_GNU_SOURCE -I. -Iuapi -Ilib/include
CFLAGS := $(CSTD) $(OPT) $(WARN) -fPIC -pthread -MMD -MP
LDFLAGS := $(filter -fsanitize=%,$(OPT)) -pthread

PROGS :=
UNIT :=
TOOLS :=
.DEFAULT_GOAL := all
.SUFFIXES:
.DELETE_ON_ERROR:

include $(sort $(wildcard agent/build.mk agent/*/build.mk lib/build.mk lib/*/build.mk tests/build.mk tests/*/build.mk kmod/build.mk docs/build.mk))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(foreach p,$(PKG_$(subst /,_,$(dir $*))),$(shell pkg-config --cflags $(p))) -c -o $@ $<

define program
$(B)/$(1): $$($(1)_SRCS:%.c=$(B)/%.o) $$($(1)_DEPS)
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(if $$($(1)_LIBS),$$(shell pkg-config --libs $$($(1)_LIBS))) $$($(1)_LDLIBS)
-include $$($(1)_SRCS:%.c=$(B)/%.d)
endef
$(foreach p,$(PROGS) $(TOOLS) $(UNIT),$(eval $(call program,$(p))))

.PHONY: all clean
all: $(PROGS:%=$(B)/%) $(LIBRARIES)
clean:
	rm -rf build
