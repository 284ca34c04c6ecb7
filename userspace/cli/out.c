// SPDX-License-Identifier: GPL-2.0
/* What goes to stdout. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

struct json_object *json_top(const char *schema)
{
	struct json_object *top = json_object_new_object();

	json_object_object_add(top, "schema", json_object_new_string(schema));
	return top;
}

void json_text(struct json_object *to, const char *key, const char *value)
{
	json_object_object_add(to, key, json_object_new_string(value));
}

void json_number(struct json_object *to, const char *key, uint64_t value)
{
	json_object_object_add(to, key, json_object_new_uint64(value));
}

void json_state(struct json_object *to, const char *key, uint32_t state)
{
	struct json_object *names = json_object_new_array();
	const char *name;
	unsigned int bit;

	for (bit = 0; (name = mmapdemo_state_name(bit)); bit++)
		if (state & 1U << bit)
			json_object_array_add(names, json_object_new_string(name));
	json_object_object_add(to, key, names);
}

/* "faults/read" becomes the member "read" of the member "faults", made when first needed. */
static void add_counter(struct json_object *to, const char *name, uint64_t value)
{
	const char *slash = strchr(name, '/');
	struct json_object *group;
	char key[32];

	snprintf(key, sizeof(key), "%.*s", (int)(slash - name), name);
	if (!json_object_object_get_ex(to, key, &group)) {
		group = json_object_new_object();
		json_object_object_add(to, key, group);
	}
	json_object_object_add(group, slash + 1, json_object_new_uint64(value));
}

void json_counters(struct json_object *to, const uint64_t *counter)
{
	const char *name;
	unsigned int i;

	for (i = 0; (name = mmapdemo_counter_name(i)); i++)
		add_counter(to, name, counter[i]);
}

void json_print(struct json_object *object, int flags)
{
	puts(json_object_to_json_string_ext(object, flags | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

int out_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return DONE;
	if (errno != EPIPE)
		fprintf(stderr, "mmapdemo: standard output: %s\n", strerror(errno));
	return FAILED;
}
