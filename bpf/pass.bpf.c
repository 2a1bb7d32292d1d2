/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Passes every packet. A veth device hands on what its peer sends by XDP_TX only while it has an XDP
 * program of its own (kernel 6.18 and before), so the demo, the tests and the benches load this one there.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
