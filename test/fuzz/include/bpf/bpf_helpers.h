/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Stands in for libbpf's bpf_helpers.h when bpf/ is compiled for this machine: found first by the include path, so
 * that the programs need no #ifdef. Maps are known by the address of their definition, and get their shape from
 * its type; how they are kept is in ../../maps.h. Included by the programs alone.
 */
#ifndef FUZZ_BPF_HELPERS_H
#define FUZZ_BPF_HELPERS_H

#define SEC(name) __attribute__((used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

#ifndef NULL
#define NULL ((void *)0)
#endif

struct host_map;

struct host_map *host_map_of(const void *definition, __u32 type, __u32 max_entries, __u32 key_size, __u32 value_size);
void *host_map_lookup(struct host_map *map, const void *key);
long host_map_update(struct host_map *map, const void *key, const void *value, __u64 flags);
long host_map_delete(struct host_map *map, const void *key);
long host_map_each(struct host_map *map, long (*callback)(void *, const void *, void *, void *), void *context);
__u64 host_coarse_ns(void);
__u32 host_random(void);
long host_ring_output(const void *data, __u64 size);

#define HOST_MAP(map)                                                                                                  \
	host_map_of(map, sizeof(*(map)->type) / sizeof(int), sizeof(*(map)->max_entries) / sizeof(int),                \
		    sizeof(*(map)->key), sizeof(*(map)->value))

#define bpf_map_lookup_elem(map, key) host_map_lookup(HOST_MAP(map), key)
#define bpf_map_update_elem(map, key, value, flags) host_map_update(HOST_MAP(map), key, value, flags)
#define bpf_map_delete_elem(map, key) host_map_delete(HOST_MAP(map), key)
#define bpf_for_each_map_elem(map, callback, context, flags)                                                           \
	host_map_each(HOST_MAP(map), (long (*)(void *, const void *, void *, void *))(callback), context)
#define bpf_ktime_get_coarse_ns() host_coarse_ns()
#define bpf_ktime_get_ns() host_coarse_ns()
#define bpf_get_prandom_u32() host_random()
#define bpf_ringbuf_output(ring, data, size, flags) ((void)(ring), (void)(flags), host_ring_output(data, size))

#endif
