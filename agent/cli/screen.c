/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/screen.h"

static struct termios before;
static volatile sig_atomic_t ended;

static void end(int sig)
{
	(void)sig;
	ended = 1;
}

int screen_open(void)
{
	struct sigaction sa = { .sa_handler = end };
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return -1;
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	/* No SA_RESTART: the wait for a key must end. */
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		return -1;
	fputs("\033[?1049h\033[?25l", stdout);
	return 0;
}

void screen_close(void)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void screen_show(const char *text)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	int rows, width, len;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		size = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	width = size.ws_col;
	fputs("\033[H\033[2J", stdout);
	/* A line that wraps or a row that scrolls would spoil the picture. */
	for (rows = size.ws_row - 1; *text && rows > 0; rows--) {
		len = (int)strcspn(text, "\n");
		printf("%.*s\n", len < width ? len : width, text);
		text += len + (text[len] == '\n');
	}
	fflush(stdout);
}

static int clock_left(const struct timespec *from, int ms)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return ms -
	       (int)((now.tv_sec - from->tv_sec) * 1000 + (now.tv_nsec - from->tv_nsec) / 1000000);
}

bool screen_wait(int ms)
{
	struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };
	struct timespec from;
	int left = ms;
	char key;

	clock_gettime(CLOCK_MONOTONIC, &from);
	while (!ended && left > 0) {
		if (poll(&pfd, 1, left) > 0) {
			if (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q')
				return true;
		}
		left = clock_left(&from, ms);
	}
	return ended;
}
