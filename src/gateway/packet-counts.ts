/**
 * What became of packets, whoever decided it: counted in the kernel, and by the daemon for what the kernel left to it. Pure.
 * May be imported by src/gateway only.
 */
type Counts = Readonly<Record<string, number>>;

/** @param status of the gateway; other versions have no `responder`. @returns by verdict */
export function packetCounts({ packets, responder }: { packets: Counts; responder?: Counts | null }): Counts {
  const counts: Record<string, number> = { ...packets };
  for (const [verdict, count] of Object.entries(responder ?? {})) counts[verdict] = (counts[verdict] ?? 0) + count;
  return counts;
}
