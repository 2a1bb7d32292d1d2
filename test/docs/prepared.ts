/** A gateway that runs, as most documents presume: on machine `gateway`, with the template's settings, three backends and some sessions. */
import { fileURLToPath } from 'node:url';
import type { Machines } from './machines.ts';
import type { Machine } from './markdown.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const USERS = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank'];

/** @returns what it prints. @throws Error where it doesn't end well */
export async function must(machines: Machines, machine: Machine, script: string): Promise<string> {
  const { exit, stdout, stderr } = await machines.run(machine, script);
  if (exit !== 0) throw new Error(`on ${machine} this ended with ${exit}:\n${script}\n${stdout}${stderr}`);
  return stdout;
}

/** alice, dave are on app-1, bob, erin on app-2, carol, frank on app-3; the load balancer has keys.yaml. @param prefix of sessions */
export async function prepareGateway(machines: Machines, prefix = 'sess:'): Promise<void> {
  const sessions = USERS.map(
    (sid, i) =>
      `redis-cli FCALL session_set 2 ${prefix}${sid} sessions:feed ${sid} app-${1 + (i % 3)} 3600000 > /dev/null`,
  );
  const keys = await must(
    machines,
    'gateway',
    `install -d -m 750 /etc/session-gateway
     sed 's/prefix: "sess:"/prefix: "${prefix}"/' ${ROOT}config/gateway.yaml > /etc/session-gateway/gateway.yaml
     umask 077
     gateway keys new --name edge-fleet >> /etc/session-gateway/keys.yaml
     gateway redis install > /dev/null
     for i in 1 2 3; do
       redis-cli FCALL backend_patch 2 gateway:backends sessions:feed app-$i '{"id":'$i',"address":"10.0.0.1'$i':8080"}' > /dev/null
     done
     ${sessions.join('\n')}
     gateway run >> /var/log/session-gateway.log 2>&1 &
     ready() { curl -s --unix-socket /run/session-gateway/gateway.sock --fail http://gateway/readyz > /dev/null; }
     for i in $(seq 300); do ready && break; sleep 0.1; done
     ready
     cat /etc/session-gateway/keys.yaml`,
  );
  await must(machines, 'load-balancer', `umask 077; cat > keys.yaml <<'END'\n${keys}END`);
}
