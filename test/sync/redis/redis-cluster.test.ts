import { afterEach, describe, expect, it } from 'vitest';
import { hashSlot } from '../../../src/sync/redis/hash-slot.ts';
import { redisTarget } from '../../../src/sync/redis/redis-target.ts';
import { systemRuntime } from '../../../src/sync/runtime.ts';
import { ClusterSetup } from '../cluster-setup.ts';
import { until } from '../harness.ts';

const FIRST_PORT = 23_200;
const { signal } = new AbortController();

let setup: ClusterSetup;
afterEach(() => setup?.stop());

const ownerOf = async (target: ReturnType<typeof redisTarget>, slot: number): Promise<string | undefined> =>
  (await target.masters(signal)).find(({ slots }) => slots.some(([first, last]) => first <= slot && slot <= last))?.id;

const refused = (action: Promise<unknown>): Promise<unknown> =>
  action.then(
    () => null,
    (error) => error,
  );

describe('a cluster', { timeout: 60_000 }, () => {
  it('is asked for its masters, over the death of one', async () => {
    setup = await ClusterSetup.start(FIRST_PORT, { replicas: 1 });
    const [first, second, third] = setup.masters;
    const target = redisTarget(setup.config, systemRuntime);
    const masters = await target.masters(signal);
    expect(masters.map(({ id, slots }) => [id, slots])).toEqual([
      [first?.address, [[0, 5461]]],
      [second?.address, [[5462, 10_923]]],
      [third?.address, [[10_924, 16_383]]],
    ]);
    const connection = await masters[1]?.open('test', signal);
    expect(await connection?.call('PING')).toEqual(Buffer.from('PONG'));
    connection?.drop();
    // A cluster has no one master.
    expect(await refused(target.master('test', signal))).toMatchObject({ code: 'NO_MASTER' });
    expect(await refused(target.openMaster('test', signal))).toMatchObject({ code: 'NO_MASTER' });

    // The first one dies, and its replica takes over: it was never configured.
    await first?.kill();
    const [replica] = setup.replicas;
    await until('the replica owns the slots', async () => {
      const owner = await ownerOf(target, 0).catch(() => null);
      return owner === replica?.address;
    });
    // Also to one who knows the configured nodes only.
    expect(await ownerOf(redisTarget(setup.config, systemRuntime), 0)).toBe(replica?.address);
    // The dead one comes back as a replica: who still takes it for a master is told so.
    await first?.launch();
    await until('the old master is a replica', async () => (await first?.client().role())?.[0] === 'slave');
    expect(await refused(masters[0]?.open('test', signal) ?? Promise.resolve())).toMatchObject({
      code: 'NO_MASTER',
      message: `${first?.address} is named as master, but its role is slave`,
    });
    // Without a majority nobody knows.
    for (const node of [second, third]) await node?.kill();
    await until('refused', async () => (await refused(target.masters(signal))) !== null);
    expect(await refused(target.masters(signal))).toMatchObject({
      code: 'NO_MASTER',
      message: expect.stringMatching(/no node of the cluster names its masters: .*(state is fail|ECONNREFUSED)/),
    });
  });

  it('is asked anew, so that a slot that moved is found', async () => {
    setup = await ClusterSetup.start(FIRST_PORT);
    const [first, , third] = setup.masters;
    if (first === undefined || third === undefined) throw new Error('three masters are needed');
    const target = redisTarget(setup.config, systemRuntime);
    const slot = 4000;
    expect(await ownerOf(target, slot)).toBe(first.address);
    const [master] = await target.masters(signal);
    await first.client().call('SET', `{${keyIn(slot)}}:1`, 'x');
    await setup.moveSlot(slot, first, third);
    await until('moved', async () => (await ownerOf(target, slot)) === third.address);
    expect((await target.masters(signal)).map(({ slots }) => slots)[0]).toEqual([
      [0, 3999],
      [4001, 5461],
    ]);
    // What the former owner says is an error with where to go.
    const connection = await master?.open('test', signal);
    expect(await refused(connection?.call('GET', `{${keyIn(slot)}}:1`) ?? Promise.resolve())).toMatchObject({
      code: 'REDIS_REFUSED',
      message: `GET: MOVED ${slot} ${third.address}`,
    });
    connection?.drop();
  });
});

/** A short text whose slot this is. */
function keyIn(slot: number): string {
  for (let i = 0; i < 1_000_000; i++) if (hashSlot(`k${i}`) === slot) return `k${i}`;
  throw new Error('no key');
}
