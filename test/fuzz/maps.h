/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The kernel's maps and clock, as far as the programs use them, for one thread. Keys and values are allocations of
 * their exact size, and what is replaced or deleted is freed, so that the address sanitizer sees every byte that is
 * read or written beside them or too late.
 */
#ifndef FUZZ_MAPS_H
#define FUZZ_MAPS_H

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What must hold, or the input is kept as a crash. */
#define REQUIRE(condition)                                                                                             \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                 \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

enum {
	HOST_MAPS = 32,
	HOST_BUCKETS = 256,
};

struct host_element {
	struct host_element *next;
	void *key;
	void *value;
};

struct host_map {
	const void *definition;
	__u32 type, max_entries, key_size, value_size;
	/* Arrays: all values; others: elements. */
	unsigned char *values;
	struct host_element *buckets[HOST_BUCKETS];
	__u32 count;
};

static struct host_map host_maps[HOST_MAPS];
static __u64 host_now_ns;
/* When set, sees the value of each lookup in a hash map, and gives the one that the program is to see. */
static void *(*host_after_lookup)(struct host_map *map, const void *key, void *value);

__u64 host_coarse_ns(void)
{
	return host_now_ns;
}

/* The same for every input, so that a crash is found again. */
__u32 host_random(void)
{
	return 1;
}

/* Reads all of it, and keeps nothing. */
long host_ring_output(const void *data, __u64 size)
{
	free(memcpy(malloc(size), data, size));
	return 0;
}

static int host_map_is_array(const struct host_map *map)
{
	return map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

struct host_map *host_map_of(const void *definition, __u32 type, __u32 max_entries, __u32 key_size, __u32 value_size)
{
	struct host_map *map = host_maps;

	while (map->definition && map->definition != definition)
		REQUIRE(++map < host_maps + HOST_MAPS);
	if (map->definition)
		return map;
	*map = (struct host_map){
		.definition = definition,
		.type = type,
		.max_entries = max_entries,
		.key_size = key_size,
		.value_size = value_size,
	};
	REQUIRE(host_map_is_array(map) || type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LPM_TRIE);
	if (host_map_is_array(map))
		REQUIRE(map->values = calloc(max_entries, value_size));
	return map;
}

/* The link that holds the key, or the end of its bucket. */
static struct host_element **host_map_find(struct host_map *map, const void *key)
{
	const unsigned char *bytes = key;
	struct host_element **link;
	__u32 hash = 0;

	for (__u32 i = 0; i < map->key_size; i++)
		hash = 31 * hash + bytes[i];
	link = &map->buckets[hash % HOST_BUCKETS];
	while (*link && memcmp((*link)->key, key, map->key_size))
		link = &(*link)->next;
	return link;
}

static int host_prefix_matches(const unsigned char *network, const unsigned char *address, __u32 bits)
{
	for (__u32 bit = 0; bit < bits; bit++)
		if ((network[bit / 8] ^ address[bit / 8]) & (0x80 >> bit % 8))
			return 0;
	return 1;
}

/* The longest prefix that the key is in: a key is its length in bits, and its bytes. */
static void *host_trie_lookup(struct host_map *map, const void *key)
{
	__u32 length, asked, longest = 0;
	void *found = NULL;

	memcpy(&asked, key, sizeof(asked));
	for (int i = 0; i < HOST_BUCKETS; i++) {
		for (struct host_element *element = map->buckets[i]; element; element = element->next) {
			memcpy(&length, element->key, sizeof(length));
			if (length > asked || length < longest)
				continue;
			if (host_prefix_matches((unsigned char *)element->key + 4, (unsigned char *)key + 4, length)) {
				longest = length;
				found = element->value;
			}
		}
	}
	return found;
}

void *host_map_lookup(struct host_map *map, const void *key)
{
	struct host_element *element;
	void *value;
	__u32 index;

	if (host_map_is_array(map)) {
		memcpy(&index, key, sizeof(index));
		return index < map->max_entries ? map->values + (size_t)index * map->value_size : NULL;
	}
	if (map->type == BPF_MAP_TYPE_LPM_TRIE)
		return host_trie_lookup(map, key);
	element = *host_map_find(map, key);
	value = element ? element->value : NULL;
	return host_after_lookup ? host_after_lookup(map, key, value) : value;
}

static void *host_copy(const void *bytes, size_t size)
{
	void *copy = malloc(size);

	REQUIRE(copy);
	return memcpy(copy, bytes, size);
}

long host_map_update(struct host_map *map, const void *key, const void *value, __u64 flags)
{
	struct host_element **link, *element;
	__u32 index;

	if (host_map_is_array(map)) {
		memcpy(&index, key, sizeof(index));
		if (index >= map->max_entries)
			return -E2BIG;
		memcpy(map->values + (size_t)index * map->value_size, value, map->value_size);
		return 0;
	}
	link = host_map_find(map, key);
	element = *link;
	if (element && flags == BPF_NOEXIST)
		return -EEXIST;
	if (!element && flags == BPF_EXIST)
		return -ENOENT;
	if (element) {
		void *replaced = element->value;

		element->value = host_copy(value, map->value_size);
		free(replaced);
		return 0;
	}
	if (map->count == map->max_entries)
		return -E2BIG;
	REQUIRE(element = malloc(sizeof(*element)));
	element->next = NULL;
	element->key = host_copy(key, map->key_size);
	element->value = host_copy(value, map->value_size);
	*link = element;
	map->count++;
	return 0;
}

long host_map_delete(struct host_map *map, const void *key)
{
	struct host_element **link, *element;

	if (host_map_is_array(map))
		return -EINVAL;
	link = host_map_find(map, key);
	element = *link;
	if (!element)
		return -ENOENT;
	*link = element->next;
	free(element->key);
	free(element->value);
	free(element);
	map->count--;
	return 0;
}

/* Arrays alone. */
long host_map_each(struct host_map *map, long (*callback)(void *, const void *, void *, void *), void *context)
{
	__u32 index = 0;

	REQUIRE(host_map_is_array(map));
	for (; index < map->max_entries; index++) {
		__u32 copy = index;

		if (callback(map, &copy, map->values + (size_t)index * map->value_size, context))
			return index + 1;
	}
	return index;
}

/* Empties a map that is no array. */
static inline void host_map_clear(struct host_map *map)
{
	for (int i = 0; i < HOST_BUCKETS; i++)
		while (map->buckets[i])
			host_map_delete(map, map->buckets[i]->key);
}

#endif
