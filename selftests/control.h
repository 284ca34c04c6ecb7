/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control plane, a call for each command: 0 or -errno. It is asked by the raw interface,
 * and an answer that is not as documented is -EPROTO.
 */
#ifndef MMAPDEMO_TESTS_CONTROL_H
#define MMAPDEMO_TESTS_CONTROL_H

#include <linux/mmapdemo.h>

#include "genl.h"

#define ANY_SIZE (~0ULL)
/* Nothing said of them: the kernel's choice. */
#define ANY_FLAGS (~0U)

/* What device-get and device-add tell. */
struct info {
	char dev[MMAPDEMO_NAME_SIZE];
	char backing[8];
	uint64_t size;
	uint32_t flags;
	bool has_path;
	char path[256];
	uint32_t opens;
	uint64_t live, total;
	uint64_t faults[MMAPDEMO_A_FAULTS_MAX + 1];	/* by MMAPDEMO_A_FAULTS_* */
	bool has_dirty;
	uint64_t dirty;
};

/* A mapping. */
struct row {
	char dev[MMAPDEMO_NAME_SIZE];
	uint32_t pid, tgid;
	char comm[16];
	uint64_t start, end, pgoff;
	bool shared;
	uint32_t prot;
	uint64_t faults[MMAPDEMO_A_FAULTS_AROUND + 1];
};

/* Pages alike. */
struct run {
	uint64_t page, pages;
	uint32_t state;
};

#define MAX_RUNS 1100

/* What a dump tells: the first ones, and how many there were. */
struct rows {
	struct row row[40];
	unsigned int nr;
};

struct runs {
	struct run run[MAX_RUNS];
	unsigned int nr;
};

struct infos {
	struct info info[64];
	unsigned int nr;
};

/* An event of any group. */
struct event {
	int command;
	uint64_t seq;
	uint32_t event;
	char dev[MMAPDEMO_NAME_SIZE];
	char backing[8];
	uint64_t size, page;
	uint32_t pid, tgid;
	char comm[16];
};

int control_open(struct genl *genl);

/* @dev NULL: the kernel chooses; @info may be NULL. */
int add_ram(struct genl *genl, const char *dev, uint64_t size, uint32_t flags, struct info *info);
int add_file(struct genl *genl, const char *dev, int file, uint32_t flags, struct info *info);
int del(struct genl *genl, const char *dev, bool force);
int get(struct genl *genl, const char *dev, struct info *info);
int get_all(struct genl *genl, struct infos *infos);
int get_mappings(struct genl *genl, const char *dev, struct rows *rows);
int get_pages(struct genl *genl, const char *dev, struct runs *runs);
int harvest(struct genl *genl, const char *dev, struct runs *runs);
int zap(struct genl *genl, const char *dev, uint64_t page, uint64_t pages);
int wrprotect(struct genl *genl, const char *dev, uint64_t page, uint64_t pages);
int resize(struct genl *genl, const char *dev, uint64_t size);
int punch(struct genl *genl, const char *dev, uint64_t offset, uint64_t length);
int get_events(struct genl *genl, uint64_t *devices, uint64_t *faults);

/* "0+3:1 3+1:3": page, how many, state; of a harvest without the state. */
const char *pages_text(const struct runs *runs);
const char *harvest_text(const struct runs *runs);

/* A genl_fn, with a struct infos *. */
void on_device(const struct nlmsghdr *message, void *arg);
/* Read an event: is it one, with exactly the attributes that it has to have? */
bool read_event(const struct nlmsghdr *message, struct event *event);

#endif /* MMAPDEMO_TESTS_CONTROL_H */
