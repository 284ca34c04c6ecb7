// SPDX-License-Identifier: GPL-2.0
/*
 * The control plane: generic netlink family "mmapdemo".
 *
 * Documentation/netlink/specs/mmapdemo.yaml has the words of it. Commands run at the same
 * time as each other and take no lock here: a device is looked up and taken in one step, and
 * device.c decides who comes first. A dump holds its device from its start to its end, and
 * no more than that: the device may be deleted meanwhile.
 *
 * Generic netlink calls with its cb_lock held for reading, which whoever registers a family
 * takes for writing. A command that waits for a fault of somebody else's (device-del with
 * force, wrprotect, mapping-get) makes him wait too, and with him everybody's commands.
 */
#include <linux/file.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <net/genetlink.h>

#include "events.h"
#include "mapping.h"
#include "mmapdemo.h"
#include "pages.h"

static struct genl_family family;

/* Loading cannot fail any more, so devices may be added: one that is open would outlive us. */
static bool ready;

/* A reply that holds any device, a path as well. */
#define DEVICE_SIZE	(NLMSG_DEFAULT_SIZE + PATH_MAX)

/* Any event: small, because what waits in a socket's buffer counts as large as it was made. */
#define EVENT_SIZE	256

/* A message of two u64, or three. */
#define RUN_SIZE	(GENL_HDRLEN + NLMSG_HDRLEN + 3 * nla_total_size_64bit(sizeof(u64)))

/**
 * struct dump - what a dump remembers between two messages, in callback->ctx
 * @dev: the device it is of, taken; NULL if it is of all
 * @page: where to go on
 * @end: where to stop
 * @id: of the last mapping told
 * @last: of the youngest that is told: who forks for ever is not followed
 * @minor: of the next device
 */
struct dump {
	struct mmapdemo_device *dev;
	pgoff_t page;
	pgoff_t end;
	u64 id;
	u64 last;
	unsigned long minor;
};

static struct dump *dump_of(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct dump) > sizeof(cb->ctx));
	return (struct dump *)cb->ctx;
}

/* Requests */

static int check_admin(const struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack, "needs CAP_SYS_ADMIN in the initial user namespace");
	return -EPERM;
}

static struct mmapdemo_device *find_device(struct nlattr **attrs, struct netlink_ext_ack *extack)
{
	struct nlattr *attr = attrs[MMAPDEMO_A_DEV];
	struct mmapdemo_device *dev;

	if (!attr) {
		NL_SET_ERR_MSG(extack, "which device?");
		NL_SET_ERR_ATTR_MISS(extack, NULL, MMAPDEMO_A_DEV);
		return ERR_PTR(-EINVAL);
	}
	dev = mmapdemo_device_find(nla_data(attr));
	if (dev)
		return dev;
	NL_SET_ERR_MSG_ATTR(extack, attr, "there is no such device");
	return ERR_PTR(-ENODEV);
}

/* The device of a command that changes something. */
static struct mmapdemo_device *find_to_change(struct sk_buff *skb, struct genl_info *info)
{
	int err = check_admin(skb, info->extack);

	return err ? ERR_PTR(err) : find_device(info->attrs, info->extack);
}

/* @page and @end, one behind the last; all of the device where nothing is said. */
static int get_range(struct mmapdemo_device *dev, struct nlattr **attrs,
		     struct netlink_ext_ack *extack, pgoff_t *page, pgoff_t *end)
{
	struct nlattr *first = attrs[MMAPDEMO_A_PAGE], *count = attrs[MMAPDEMO_A_PAGES];

	*page = 0;
	*end = mmapdemo_pages_end(dev);
	if (first) {
		if (nla_get_u64(first) >= *end) {
			NL_SET_ERR_MSG_ATTR(extack, first, "is past the end of the device");
			return -ERANGE;
		}
		*page = nla_get_u64(first);
	}
	if (count) {
		if (nla_get_u64(count) > *end - *page) {
			NL_SET_ERR_MSG_ATTR(extack, count, "reaches past the end of the device");
			return -ERANGE;
		}
		*end = *page + nla_get_u64(count);
	}
	return 0;
}

static int check_needed(struct genl_info *info, int attr)
{
	if (!GENL_REQ_ATTR_CHECK(info, attr))
		return 0;
	NL_SET_ERR_MSG(info->extack, "an attribute is missing");
	return -EINVAL;
}

/* What the device has to know how to do. */
static int check_able(struct genl_info *info, bool able)
{
	if (able)
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[MMAPDEMO_A_DEV],
			    "is a device whose backing cannot do that, ram can");
	return -EOPNOTSUPP;
}

/* Answers */

static int put_u64(struct sk_buff *skb, int attr, u64 value)
{
	return nla_put_u64_64bit(skb, attr, value, MMAPDEMO_A_PAD);
}

static int put_faults(struct sk_buff *skb, const struct mmapdemo_figures *figures)
{
	struct nlattr *nest = nla_nest_start(skb, MMAPDEMO_A_FAULTS);
	int i;

	if (!nest)
		return -EMSGSIZE;
	for (i = MMAPDEMO_A_FAULTS_READ; i <= MMAPDEMO_A_FAULTS_MAX; i++)
		if (put_u64(skb, i, mmapdemo_figures_counter(figures, i)))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_mappings(struct sk_buff *skb, const struct mmapdemo_device *dev,
			const struct mmapdemo_figures *figures)
{
	struct nlattr *nest = nla_nest_start(skb, MMAPDEMO_A_MAPPINGS);

	if (!nest || put_u64(skb, MMAPDEMO_A_MAPPINGS_LIVE, READ_ONCE(dev->live)) ||
	    put_u64(skb, MMAPDEMO_A_MAPPINGS_TOTAL, figures->count[MMAPDEMO_MAPPINGS]))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_stats(struct sk_buff *skb, struct mmapdemo_device *dev)
{
	struct mmapdemo_figures *figures = kmalloc(sizeof(*figures), GFP_KERNEL);
	int err;

	if (!figures)
		return -ENOMEM;
	mmapdemo_stats_snapshot(&dev->stats, figures);
	err = put_mappings(skb, dev, figures);
	if (!err)
		err = put_faults(skb, figures);
	kfree(figures);
	return err;
}

/* What cannot be said of a path, that it is too long say, is left out. */
static int put_path(struct sk_buff *skb, struct mmapdemo_device *dev)
{
	char *path, *buf;
	int err;

	if (!dev->backing->path)
		return 0;
	buf = kmalloc(PATH_MAX, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	path = dev->backing->path(dev, buf);
	err = IS_ERR(path) ? 0 : nla_put_string(skb, MMAPDEMO_A_PATH, path);
	kfree(buf);
	return err;
}

/* When it is dead the mark of that is in it. */
static u32 nr_opens(const struct mmapdemo_device *dev)
{
	int opens = atomic_read(&dev->opens);

	return opens < 0 ? opens - MMAPDEMO_DEAD : opens;
}

static int put_device_attrs(struct sk_buff *skb, struct mmapdemo_device *dev)
{
	u32 flags = (dev->read_only ? MMAPDEMO_READ_ONLY : 0) |
		    (dev->huge ? MMAPDEMO_HUGE_PAGES : 0);
	int err;

	if (nla_put_string(skb, MMAPDEMO_A_DEV, dev_name(&dev->dev)) ||
	    nla_put_string(skb, MMAPDEMO_A_BACKING, dev->backing->name) ||
	    put_u64(skb, MMAPDEMO_A_SIZE, mmapdemo_size(dev)) ||
	    nla_put_u32(skb, MMAPDEMO_A_FLAGS, flags) ||
	    nla_put_u32(skb, MMAPDEMO_A_OPENS, nr_opens(dev)))
		return -EMSGSIZE;
	if (dev->backing->dirty && put_u64(skb, MMAPDEMO_A_DIRTY_PAGES, dev->backing->dirty(dev)))
		return -EMSGSIZE;
	err = put_path(skb, dev);
	return err ?: put_stats(skb, dev);
}

static int put_device_msg(struct sk_buff *skb, struct mmapdemo_device *dev, u32 portid, u32 seq,
			  int flags, u8 cmd)
{
	void *msg = genlmsg_put(skb, portid, seq, &family, flags, cmd);
	int err;

	if (!msg)
		return -EMSGSIZE;
	err = put_device_attrs(skb, dev);
	if (err)
		genlmsg_cancel(skb, msg);
	else
		genlmsg_end(skb, msg);
	return err;
}

static int reply_device(struct mmapdemo_device *dev, struct genl_info *info)
{
	struct sk_buff *skb = genlmsg_new(DEVICE_SIZE, GFP_KERNEL);
	int err;

	if (!skb)
		return -ENOMEM;
	err = put_device_msg(skb, dev, info->snd_portid, info->snd_seq, 0, info->genlhdr->cmd);
	if (err) {
		nlmsg_free(skb);
		return err;
	}
	return genlmsg_reply(skb, info);
}

/* Devices */

static int get_spec(struct genl_info *info, struct mmapdemo_spec *spec)
{
	struct nlattr **attrs = info->attrs;
	int err = check_needed(info, MMAPDEMO_A_BACKING);
	u32 flags;

	if (err)
		return err;
	spec->backing = nla_data(attrs[MMAPDEMO_A_BACKING]);
	if (attrs[MMAPDEMO_A_DEV])
		spec->name = nla_data(attrs[MMAPDEMO_A_DEV]);
	if (attrs[MMAPDEMO_A_SIZE])
		spec->size = nla_get_u64(attrs[MMAPDEMO_A_SIZE]);
	/* Where nothing is said, as by insmod. */
	flags = attrs[MMAPDEMO_A_FILE] ? 0 : MMAPDEMO_HUGE_PAGES;
	if (attrs[MMAPDEMO_A_FLAGS])
		flags = nla_get_u32(attrs[MMAPDEMO_A_FLAGS]);
	spec->huge = flags & MMAPDEMO_HUGE_PAGES;
	spec->read_only = flags & MMAPDEMO_READ_ONLY;
	if (attrs[MMAPDEMO_A_FILE]) {
		spec->file = fget(nla_get_s32(attrs[MMAPDEMO_A_FILE]));
		if (!spec->file) {
			NL_SET_ERR_MSG_ATTR(info->extack, attrs[MMAPDEMO_A_FILE],
					    "is no open file of the sender");
			return -EBADF;
		}
	}
	return 0;
}

/* The texts are constants of the module, which is there until the answer is sent. */
static void explain(const struct mmapdemo_spec *spec, struct genl_info *info)
{
	if (!spec->why)
		return;
	info->extack->_msg = spec->why;
	if (!spec->wrong)
		return;
	if (info->attrs[spec->wrong])
		NL_SET_BAD_ATTR(info->extack, info->attrs[spec->wrong]);
	else
		NL_SET_ERR_ATTR_MISS(info->extack, NULL, spec->wrong);
}

static int cmd_add(struct sk_buff *skb, struct genl_info *info)
{
	struct mmapdemo_spec spec = { 0 };
	struct mmapdemo_device *dev;
	int err;

	err = check_admin(skb, info->extack);
	if (err)
		return err;
	/* Pairs with mmapdemo_netlink_ready(). */
	if (!smp_load_acquire(&ready)) {
		NL_SET_ERR_MSG(info->extack, "the module is still being loaded");
		return -EAGAIN;
	}
	err = get_spec(info, &spec);
	if (err)
		return err;
	dev = mmapdemo_device_create(&spec);
	if (spec.file)
		fput(spec.file);
	if (IS_ERR(dev)) {
		explain(&spec, info);
		return PTR_ERR(dev);
	}
	err = reply_device(dev, info);
	/* Nobody is told its name, so nobody would take it away. */
	if (err)
		mmapdemo_device_delete(dev, true);
	put_device(&dev->dev);
	return err;
}

static int cmd_del(struct sk_buff *skb, struct genl_info *info)
{
	struct mmapdemo_device *dev = find_to_change(skb, info);
	int err;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	err = mmapdemo_device_delete(dev, info->attrs[MMAPDEMO_A_FORCE]);
	if (err == -EBUSY)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[MMAPDEMO_A_DEV],
				    "is open or mapped, force deletes it all the same");
	else if (err == -ENODEV)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[MMAPDEMO_A_DEV],
				    "there is no such device");
	else if (err == -EINTR)
		NL_SET_ERR_MSG(info->extack, "deleted, but not waited for faults under way");
	put_device(&dev->dev);
	return err;
}

static int cmd_get(struct sk_buff *skb, struct genl_info *info)
{
	struct mmapdemo_device *dev = find_device(info->attrs, info->extack);
	int err;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	err = reply_device(dev, info);
	put_device(&dev->dev);
	return err;
}

/* Dumps: what there was room for, or the error where there was none. */
static int dump_result(const struct sk_buff *skb, int err)
{
	return skb->len ?: err;
}

static int devices_start(struct netlink_callback *cb)
{
	struct nlattr *attr = mmapdemo_dump_attrs(cb)[MMAPDEMO_A_DEV];

	cb->min_dump_alloc = DEVICE_SIZE;
	if (!attr)
		return 0;
	NL_SET_ERR_MSG_ATTR(cb->extack, attr, "does not go with a dump, which is of all devices");
	return -EINVAL;
}

static int devices_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dump *dump = dump_of(cb);
	struct mmapdemo_device *dev;
	int err = 0;

	while (!err && (dev = mmapdemo_device_next(&dump->minor))) {
		err = put_device_msg(skb, dev, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				     NLM_F_MULTI, MMAPDEMO_CMD_DEVICE_GET);
		put_device(&dev->dev);
		if (!err)
			dump->minor++;
	}
	return dump_result(skb, err);
}

/* Of one device, and of a range of its pages if the command has one. */
static int dump_start(struct netlink_callback *cb)
{
	struct nlattr **attrs = mmapdemo_dump_attrs(cb);
	struct dump *dump = dump_of(cb);
	struct mmapdemo_device *dev;
	int err;

	err = check_admin(cb->skb, cb->extack);
	if (err)
		return err;
	dev = find_device(attrs, cb->extack);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	err = get_range(dev, attrs, cb->extack, &dump->page, &dump->end);
	if (err) {
		put_device(&dev->dev);
		return err;
	}
	dump->dev = dev;
	dump->last = mmapdemo_mapping_last(dev);
	return 0;
}

static int harvest_start(struct netlink_callback *cb)
{
	int err = dump_start(cb);
	struct dump *dump = dump_of(cb);

	if (err || dump->dev->backing->harvest)
		return err;
	NL_SET_ERR_MSG_ATTR(cb->extack, mmapdemo_dump_attrs(cb)[MMAPDEMO_A_DEV],
			    "is a device whose backing keeps no record, ram does");
	put_device(&dump->dev->dev);
	return -EOPNOTSUPP;
}

static int dump_done(struct netlink_callback *cb)
{
	put_device(&dump_of(cb)->dev->dev);
	return 0;
}

static void *put_row(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd)
{
	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &family,
			   NLM_F_MULTI, cmd);
}

static int end_row(struct sk_buff *skb, void *msg, int err)
{
	if (err)
		genlmsg_cancel(skb, msg);
	else
		genlmsg_end(skb, msg);
	return err ? -EMSGSIZE : 0;
}

/* Mappings */

static u32 prot_of(unsigned long flags)
{
	return (flags & VM_READ ? PROT_READ : 0) | (flags & VM_WRITE ? PROT_WRITE : 0) |
	       (flags & VM_EXEC ? PROT_EXEC : 0);
}

static int put_mapping_faults(struct sk_buff *skb, const struct mmapdemo_mapping_info *info)
{
	struct nlattr *nest = nla_nest_start(skb, MMAPDEMO_A_FAULTS);
	int i;

	BUILD_BUG_ON(MMAPDEMO_A_FAULTS_AROUND - MMAPDEMO_A_FAULTS_READ != MMAPDEMO_MAPPING_AROUND);
	if (!nest)
		return -EMSGSIZE;
	for (i = 0; i < MMAPDEMO_NR_MAPPING_FAULTS; i++)
		if (put_u64(skb, MMAPDEMO_A_FAULTS_READ + i, info->faults[i]))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_mapping(struct sk_buff *skb, const struct mmapdemo_device *dev,
		       const struct mmapdemo_mapping_info *info)
{
	return nla_put_string(skb, MMAPDEMO_A_DEV, dev_name(&dev->dev)) ||
	       nla_put_u32(skb, MMAPDEMO_A_PID, info->pid) ||
	       nla_put_u32(skb, MMAPDEMO_A_TGID, info->tgid) ||
	       nla_put_string(skb, MMAPDEMO_A_COMM, info->comm) ||
	       put_u64(skb, MMAPDEMO_A_START, info->start) ||
	       put_u64(skb, MMAPDEMO_A_END, info->end) ||
	       put_u64(skb, MMAPDEMO_A_PGOFF, info->pgoff) ||
	       ((info->flags & VM_SHARED) && nla_put_flag(skb, MMAPDEMO_A_SHARED)) ||
	       nla_put_u32(skb, MMAPDEMO_A_PROT, prot_of(info->flags)) ||
	       put_mapping_faults(skb, info);
}

static int mappings_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dump *dump = dump_of(cb);
	struct mmapdemo_mapping_info info;
	u64 id = dump->id;
	void *msg;
	int err;

	while ((err = mmapdemo_mapping_next(dump->dev, &id, dump->last, &info)) > 0) {
		msg = put_row(skb, cb, MMAPDEMO_CMD_MAPPING_GET);
		if (!msg)
			return dump_result(skb, -EMSGSIZE);
		err = end_row(skb, msg, put_mapping(skb, dump->dev, &info));
		if (err)
			break;
		dump->id = id;
	}
	return dump_result(skb, err);
}

/* Pages */

static int put_run(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd,
		   const struct mmapdemo_run *run)
{
	void *msg = put_row(skb, cb, cmd);

	if (!msg)
		return -EMSGSIZE;
	return end_row(skb, msg, put_u64(skb, MMAPDEMO_A_PAGE, run->page) ||
				 put_u64(skb, MMAPDEMO_A_PAGES, run->pages) ||
				 (cmd == MMAPDEMO_CMD_PAGE_GET &&
				  nla_put_u32(skb, MMAPDEMO_A_STATE, run->state)));
}

static int pages_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dump *dump = dump_of(cb);
	struct mmapdemo_run run;
	int err = 0;

	while (dump->page < dump->end) {
		err = mmapdemo_pages_run(dump->dev, dump->page, dump->end, &run);
		if (!err)
			err = put_run(skb, cb, MMAPDEMO_CMD_PAGE_GET, &run);
		if (err)
			break;
		dump->page += run.pages;
	}
	return dump_result(skb, err);
}

/* What is harvested is told: there has to be room before it is. */
static int harvest_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dump *dump = dump_of(cb);
	struct mmapdemo_device *dev = dump->dev;
	struct mmapdemo_run run;
	int err = 0;

	while (dump->page < dump->end && skb_tailroom(skb) >= RUN_SIZE) {
		err = dev->backing->harvest(dev, dump->page, dump->end, &run);
		if (err <= 0)
			break;
		err = put_run(skb, cb, MMAPDEMO_CMD_DIRTY_HARVEST, &run);
		if (WARN_ON_ONCE(err))
			break;
		dump->page = run.page + run.pages;
	}
	return dump_result(skb, err);
}

static int on_range(struct sk_buff *skb, struct genl_info *info,
		    int (*function)(struct mmapdemo_device *dev, pgoff_t page, pgoff_t end))
{
	struct mmapdemo_device *dev = find_to_change(skb, info);
	pgoff_t page, end;
	int err;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	err = get_range(dev, info->attrs, info->extack, &page, &end);
	if (!err)
		err = function(dev, page, end);
	put_device(&dev->dev);
	return err;
}

static int zap(struct sk_buff *skb, struct genl_info *info)
{
	return on_range(skb, info, mmapdemo_pages_zap);
}

static int wrprotect(struct sk_buff *skb, struct genl_info *info)
{
	int err = on_range(skb, info, mmapdemo_pages_wrprotect);

	if (err == -EOPNOTSUPP)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[MMAPDEMO_A_DEV],
				    "is over a DAX file, whose pages are in no cache");
	return err;
}

static int get_size(struct genl_info *info, loff_t *size)
{
	int err = check_needed(info, MMAPDEMO_A_SIZE);

	if (err)
		return err;
	*size = nla_get_u64(info->attrs[MMAPDEMO_A_SIZE]);
	/* Rounded up to whole pages it has to be a size as well. */
	if (*size > 0 && *size <= round_down(MAX_LFS_FILESIZE, PAGE_SIZE))
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[MMAPDEMO_A_SIZE],
			    "is more than a file can have");
	return -EFBIG;
}

static int resize(struct sk_buff *skb, struct genl_info *info)
{
	struct mmapdemo_device *dev = find_to_change(skb, info);
	loff_t size;
	int err;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	err = get_size(info, &size);
	if (!err)
		err = check_able(info, dev->backing->resize);
	if (!err)
		err = dev->backing->resize(dev, size);
	if (!err)
		mmapdemo_event(MMAPDEMO_EVENT_DEVICE, MMAPDEMO_DEVICE_RESIZED, dev, 0);
	put_device(&dev->dev);
	return err;
}

static int get_bytes(struct mmapdemo_device *dev, struct genl_info *info, loff_t *offset,
		     loff_t *length)
{
	u64 size = mmapdemo_size(dev), from, bytes;
	int err;

	err = check_needed(info, MMAPDEMO_A_OFFSET) ?: check_needed(info, MMAPDEMO_A_LENGTH);
	if (err)
		return err;
	from = nla_get_u64(info->attrs[MMAPDEMO_A_OFFSET]);
	bytes = nla_get_u64(info->attrs[MMAPDEMO_A_LENGTH]);
	if (from >= size) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[MMAPDEMO_A_OFFSET],
				    "is past the end of the device");
		return -ERANGE;
	}
	if (bytes > size - from) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[MMAPDEMO_A_LENGTH],
				    "reaches past the end of the device");
		return -ERANGE;
	}
	*offset = from;
	*length = bytes;
	return 0;
}

static int punch(struct sk_buff *skb, struct genl_info *info)
{
	struct mmapdemo_device *dev = find_to_change(skb, info);
	loff_t offset, length;
	int err;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	err = get_bytes(dev, info, &offset, &length);
	if (!err)
		err = check_able(info, dev->backing->punch);
	if (!err)
		err = dev->backing->punch(dev, offset, length);
	put_device(&dev->dev);
	return err;
}

/* Events */

static int event_get(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *reply = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *msg;

	if (!reply)
		return -ENOMEM;
	msg = genlmsg_put_reply(reply, info, &family, 0, MMAPDEMO_CMD_EVENT_GET);
	if (!msg || put_u64(reply, MMAPDEMO_A_DEVICES_SEQ,
			    mmapdemo_events_last(MMAPDEMO_EVENT_DEVICE)) ||
	    put_u64(reply, MMAPDEMO_A_FAULTS_SEQ, mmapdemo_events_last(MMAPDEMO_EVENT_FAULT))) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	genlmsg_end(reply, msg);
	return genlmsg_reply(reply, info);
}

static int put_task(struct sk_buff *skb)
{
	char comm[TASK_COMM_LEN];

	get_task_comm(comm, current);
	return nla_put_u32(skb, MMAPDEMO_A_PID, task_pid_nr(current)) ||
	       nla_put_u32(skb, MMAPDEMO_A_TGID, task_tgid_nr(current)) ||
	       nla_put_string(skb, MMAPDEMO_A_COMM, comm);
}

static int put_event(struct sk_buff *skb, const struct mmapdemo_event *event)
{
	if (put_u64(skb, MMAPDEMO_A_SEQ, event->seq) ||
	    nla_put_u32(skb, MMAPDEMO_A_EVENT, event->what) ||
	    nla_put_string(skb, MMAPDEMO_A_DEV, dev_name(&event->dev->dev)))
		return -EMSGSIZE;
	if (event->group == MMAPDEMO_EVENT_FAULT)
		return put_u64(skb, MMAPDEMO_A_PAGE, event->page) || put_task(skb);
	return nla_put_string(skb, MMAPDEMO_A_BACKING, event->dev->backing->name) ||
	       put_u64(skb, MMAPDEMO_A_SIZE, mmapdemo_size(event->dev));
}

/* A message that there is no memory for is lost as one for whose reader there was no room. */
static int send_event(struct notifier_block *nb, unsigned long what, void *data)
{
	const struct mmapdemo_event *event = data;
	u8 cmd = event->group == MMAPDEMO_EVENT_FAULT ? MMAPDEMO_CMD_FAULT_EVENT :
							MMAPDEMO_CMD_DEVICE_EVENT;
	struct sk_buff *skb;
	void *msg;

	if (!genl_has_listeners(&family, &init_net, event->group))
		return NOTIFY_OK;
	skb = genlmsg_new(EVENT_SIZE, GFP_ATOMIC | __GFP_NOWARN);
	if (!skb)
		return NOTIFY_OK;
	msg = genlmsg_put(skb, 0, 0, &family, 0, cmd);
	if (WARN_ON_ONCE(!msg || put_event(skb, event))) {
		nlmsg_free(skb);
		return NOTIFY_OK;
	}
	genlmsg_end(skb, msg);
	genlmsg_multicast(&family, skb, 0, event->group, GFP_ATOMIC);
	return NOTIFY_OK;
}

static struct notifier_block subscriber = { .notifier_call = send_event };

/* The family */

#define NAME	{ .type = NLA_NUL_STRING, .len = MMAPDEMO_NAME_SIZE - 1 }
#define U64	NLA_POLICY_MIN(NLA_U64, 1)

static const struct nla_policy add_policy[MMAPDEMO_A_MAX + 1] = {
	[MMAPDEMO_A_DEV]	= NAME,
	[MMAPDEMO_A_BACKING]	= { .type = NLA_NUL_STRING, .len = 15 },
	[MMAPDEMO_A_SIZE]	= U64,
	[MMAPDEMO_A_FLAGS]	= NLA_POLICY_MASK(NLA_U32,
						  MMAPDEMO_READ_ONLY | MMAPDEMO_HUGE_PAGES),
	[MMAPDEMO_A_FILE]	= NLA_POLICY_MIN(NLA_S32, 0),
};

static const struct nla_policy del_policy[MMAPDEMO_A_MAX + 1] = {
	[MMAPDEMO_A_DEV]	= NAME,
	[MMAPDEMO_A_FORCE]	= { .type = NLA_FLAG },
};

static const struct nla_policy dev_policy[MMAPDEMO_A_MAX + 1] = {
	[MMAPDEMO_A_DEV]	= NAME,
};

static const struct nla_policy range_policy[MMAPDEMO_A_MAX + 1] = {
	[MMAPDEMO_A_DEV]	= NAME,
	[MMAPDEMO_A_PAGE]	= { .type = NLA_U64 },
	[MMAPDEMO_A_PAGES]	= U64,
};

static const struct nla_policy resize_policy[MMAPDEMO_A_MAX + 1] = {
	[MMAPDEMO_A_DEV]	= NAME,
	[MMAPDEMO_A_SIZE]	= U64,
};

static const struct nla_policy punch_policy[MMAPDEMO_A_MAX + 1] = {
	[MMAPDEMO_A_DEV]	= NAME,
	[MMAPDEMO_A_OFFSET]	= { .type = NLA_U64 },
	[MMAPDEMO_A_LENGTH]	= U64,
};

static const struct nla_policy no_policy[MMAPDEMO_A_MAX + 1] = { };

#define DO(name, function, attrs)					\
	{								\
		.cmd		= MMAPDEMO_CMD_##name,			\
		.doit		= function,				\
		.policy		= attrs,				\
		.maxattr	= MMAPDEMO_A_MAX,			\
	}

#define DUMP(name, begin, function, attrs)				\
	{								\
		.cmd		= MMAPDEMO_CMD_##name,			\
		.start		= begin,				\
		.dumpit		= function,				\
		.done		= dump_done,				\
		.policy		= attrs,				\
		.maxattr	= MMAPDEMO_A_MAX,			\
	}

static const struct genl_ops ops[] = {
	DO(DEVICE_ADD, cmd_add, add_policy),
	DO(DEVICE_DEL, cmd_del, del_policy),
	{
		.cmd		= MMAPDEMO_CMD_DEVICE_GET,
		.doit		= cmd_get,
		.start		= devices_start,
		.dumpit		= devices_dump,
		.policy		= dev_policy,
		.maxattr	= MMAPDEMO_A_MAX,
	},
	DUMP(MAPPING_GET, dump_start, mappings_dump, dev_policy),
	DUMP(PAGE_GET, dump_start, pages_dump, range_policy),
	DUMP(DIRTY_HARVEST, harvest_start, harvest_dump, range_policy),
	DO(ZAP, zap, range_policy),
	DO(WRPROTECT, wrprotect, range_policy),
	DO(RESIZE, resize, resize_policy),
	DO(PUNCH, punch, punch_policy),
	DO(EVENT_GET, event_get, no_policy),
};

static const struct genl_multicast_group groups[] = {
	[MMAPDEMO_EVENT_DEVICE]	= { .name = MMAPDEMO_MCGRP_DEVICES },
	/* Which page a process has touched is not for everybody. */
	[MMAPDEMO_EVENT_FAULT]	= { .name = MMAPDEMO_MCGRP_FAULTS,
				    .flags = GENL_MCAST_CAP_SYS_ADMIN },
};

/* Parallel: a command may wait for a fault that is under way, and others need not. */
static struct genl_family family __ro_after_init = {
	.name		= MMAPDEMO_FAMILY_NAME,
	.version	= MMAPDEMO_FAMILY_VERSION,
	.module		= THIS_MODULE,
	.parallel_ops	= true,
	.ops		= ops,
	.n_ops		= ARRAY_SIZE(ops),
	.mcgrps		= groups,
	.n_mcgrps	= ARRAY_SIZE(groups),
};

void __init mmapdemo_netlink_ready(void)
{
	/* Pairs with cmd_add(). */
	smp_store_release(&ready, true);
}

int __init mmapdemo_netlink_init(void)
{
	int err;

	err = genl_register_family(&family);
	if (err)
		return err;
	err = mmapdemo_events_subscribe(&subscriber);
	if (err)
		genl_unregister_family(&family);
	return err;
}

/* No command is under way afterwards, nor does one come. A dump would hold the module. */
void mmapdemo_netlink_exit(void)
{
	mmapdemo_events_unsubscribe(&subscriber);
	genl_unregister_family(&family);
}

MODULE_ALIAS_GENL_FAMILY(MMAPDEMO_FAMILY_NAME);
