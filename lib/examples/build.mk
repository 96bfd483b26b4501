# SPDX-License-Identifier: MIT
EXAMPLES := heat hello counter pingpong producer consumer basket letters
TOOLS += $(EXAMPLES)

heat_SRCS := lib/examples/heat.c lib/examples/heat_kernel.c lib/examples/heat_team.c \
	lib/examples/heat_device.c
heat_DEPS := $(B)/libdsm.a
hello_SRCS := lib/examples/hello.c
hello_DEPS := $(B)/libdsm.a
counter_SRCS := lib/examples/counter.c
counter_DEPS := $(B)/libdsm.a
pingpong_SRCS := lib/examples/pingpong.c
pingpong_DEPS := $(B)/libdsm.a
producer_SRCS := lib/examples/producer.c
producer_DEPS := $(B)/libdsm.a
consumer_SRCS := lib/examples/consumer.c
consumer_DEPS := $(B)/libdsm.a
basket_SRCS := lib/examples/basket.c
basket_DEPS := $(B)/libdsm.a
letters_SRCS := lib/examples/letters.c
letters_DEPS := $(B)/libdsm.a

# The arithmetic as fast as the compiler can, for the sequential run too.
# Contracted multiply-adds would round differently on different machines.
$(B)/lib/examples/heat_kernel.o: CFLAGS += -O3 -ffp-contract=off
