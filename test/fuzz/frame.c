/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Fuzz target: any bytes as a frame. The first byte says how the world differs from usual (gateway.h); the rest is
 * the frame.
 */
#include "gateway.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size - 1 > FRAME_MAX)
		return -1;
	world_begin();
	world_set(data[0]);
	run_frame(data + 1, size - 1, NULL);
	return 0;
}
