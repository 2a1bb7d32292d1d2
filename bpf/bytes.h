/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Words out of byte strings. BPF objects here are little-endian (bpfel), and the kernels that run them
 * take unaligned loads, as x86-64 and arm64 do.
 */
#ifndef SESSION_GATEWAY_BYTES_H
#define SESSION_GATEWAY_BYTES_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>

#define inlined static inline __attribute__((always_inline))

/* Keeps the compiler from seeing through `x`: what it knew of its value ends here. */
#define opaque(x) asm volatile("" : "+r"(x))

inlined __u64 load64(const void *at)
{
	return *(const __u64 *)at;
}

inlined void store64(void *at, __u64 value)
{
	*(__u64 *)at = value;
}

inlined __u32 load32(const void *at)
{
	return *(const __u32 *)at;
}

#endif
