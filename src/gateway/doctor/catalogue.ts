/**
 * Everything that `gateway doctor` can find amiss, with how bad it is, why it matters and what to do. docs/doctor.md has the same table; a
 * test holds it to that. Imported by finding.ts alone, and tests.
 *
 * Words in braces are filled in with what was found.
 */

/**
 * `problem`: it does not work, or not for much longer; `warning`: it works, but not as it could, or something is about to go wrong;
 * `note`: good to know, and often meant so.
 */
export type Level = 'problem' | 'warning' | 'note';

interface Entry {
  readonly level: Level;
  readonly why: string;
  readonly remedy: string;
}

function entry(level: Level, why: string, remedy: string): Entry {
  return { level, why, remedy };
}

/** By topic, in the order of docs/doctor.md. */
export const catalogue = {
  /* The machine */
  'look-failed': entry('warning', 'this could not be looked at, so nothing is known of it', '{advice}'),
  'kernel-old': entry('problem', 'the program uses what older kernels lack', 'use Linux {least} or newer'),
  'btf-missing': entry(
    'note',
    'the gateway works without it, but bpftool can not show what is in its maps',
    'use a kernel with CONFIG_DEBUG_INFO_BTF',
  ),
  'jit-off': entry(
    'problem',
    'an interpreted program costs many times as much a packet, and some kernels refuse to interpret it',
    'run: sysctl net.core.bpf_jit_enable=1',
  ),
  'capability-missing': entry(
    'problem',
    'the kernel refuses to load or to attach the program',
    'run the daemon as root or with these capabilities, as packaging/systemd/session-gateway.service does, and doctor as the daemon runs',
  ),
  'memory-short': entry(
    'warning',
    'the kernel takes the memory of all maps at start, and refuses the start where there is not enough',
    'lower sessions.capacity, or give more memory to the machine, or to the daemon’s control group: MemoryMax= of its unit',
  ),
  'clock-unsynchronised': entry(
    'warning',
    'requests whose clock differs by more than listen.maxSkewMs get no answer, and sessions end too early or too late',
    'run chrony, systemd-timesyncd or another NTP client; a virtual machine that gets its time from its host may ignore this',
  ),

  /* Files and keys */
  'password-exposed': entry(
    'warning',
    'who can read it can log in to Redis',
    'run: chmod o= {file}; a password in redis.url is better kept in a file of its own (redis.passwordFile)',
  ),
  'socket-exposed': entry(
    'warning',
    'who can open the control socket can change backends and sessions',
    'run: chmod o= {file}, and see what has opened it',
  ),
  'token-refused': entry('problem', 'the daemon does not start, and a reload is refused', 'see docs/configuration.md'),
  'keys-refused': entry('problem', 'the daemon does not start, and a reload is refused', 'mend the file as it says'),
  'keys-none': entry('warning', 'nobody can ask', 'add one with gateway keys new, then run gateway reload-keys'),
  'keys-none-valid': entry(
    'problem',
    'nobody can ask now',
    'add a key with gateway keys new, run gateway reload-keys, and give it to the load balancers',
  ),
  'key-ended': entry('warning', 'requests signed with it are dropped', 'take it out of {file}'),
  'key-ends-soon': entry(
    'warning',
    'from then on requests signed with it are dropped',
    'add a new key, give it to the load balancers, then take this one out: docs/configuration.md, "The key file"',
  ),
  'key-not-begun': entry('note', 'requests signed with it are dropped until then', 'nothing, if that is meant'),
  'keys-not-reloaded': entry(
    'warning',
    'the daemon goes by the keys that it read last, and not by the file as it is now',
    'run: gateway reload-keys',
  ),

  /* Pins */
  'bpffs-missing': entry(
    'problem',
    'what is pinned outlives the daemon only on a BPF file system',
    'mount one with "mount -t bpf bpf /sys/fs/bpf" and let "pins" name a directory in it',
  ),
  'pins-not-writable': entry(
    'problem',
    'the daemon pins its maps, program and links there',
    'run as the user of {path}, or make it that user’s with chown -R',
  ),
  'pins-of-another-layout': entry(
    'note',
    'maps of another version or capacity take memory beside those in use; they go once those are filled',
    'nothing while an upgrade is under way; else start the daemon again, or run gateway detach when it is stopped',
  ),
  'pins-elsewhere': entry(
    'note',
    'another gateway on this machine has its own maps and keys; an interface takes the program of one of them',
    'run gateway detach with its configuration if it is no longer wanted',
  ),

  /* Interfaces */
  'interfaces-none': entry('problem', 'no request arrives', 'name those that requests arrive on in listen.interfaces'),
  'interface-missing': entry(
    'problem',
    'no request arrives on it',
    'put its name right in listen.interfaces, or make it',
  ),
  'interface-down': entry('warning', 'nothing arrives on it', 'run: ip link set {name} up'),
  'interface-generic': entry(
    'warning',
    'every packet costs an allocation before the program sees it',
    'use a driver with native XDP, an MTU that it allows, and free queues; see "ip link" and the daemon’s log for why native mode was refused',
  ),
  'interface-without-program': entry(
    'note',
    'listen.attach is none: every lookup goes through the daemon, which is slow',
    'use listen.attach: auto where there is XDP',
  ),
  'interface-not-attached': entry('problem', 'requests on it are not answered', 'see the daemon’s log'),
  'interface-own-program': entry(
    'note',
    'the program of an earlier daemon answers there, from what it holds; its age grows',
    'start the daemon with gateway run, or end the answering with gateway detach',
  ),
  'xdp-foreign': entry(
    'problem',
    'an interface takes one program: the gateway can not be attached to it',
    'see "ip link show {name}" and detach that program first, or use another interface',
  ),
  'mtu-small': entry(
    'warning',
    'a batch of 64 lookups is a packet of up to {needed} bytes, which does not fit: batches of that size are not answered',
    'raise the MTU, or let clients ask for fewer sessions at once',
  ),
  'mtu-large': entry(
    'warning',
    'most drivers refuse native XDP with packets larger than a page',
    'run: ip link set {name} mtu 3498, or use a driver that takes such packets',
  ),
  'vlan-stripped': entry(
    'warning',
    'in native mode the program does not see a tag that the device takes off, so its replies leave without one',
    'run: ethtool -K {name} rxvlan off',
  ),
  'veth-peer-without-xdp': entry(
    'problem',
    'a veth device drops in silence what its other end sends by XDP, unless it has an XDP program too',
    'attach a program to the peer that passes all packets, or use listen.attach: generic',
  ),
  'queues-few': entry(
    'note',
    'the packets of one queue are answered by one CPU, so not all CPUs take part',
    'give it more queues where the device can: ethtool -L {name} combined {cpus}',
  ),
  'addresses-none': entry(
    'problem',
    'the gateway answers on the addresses of exactly these interfaces; those of a bond, a bridge or a VLAN above are not among them: nothing is answered',
    'name the addresses of the bond, bridge or VLAN in listen.addresses',
  ),
  'addresses-link-local': entry(
    'warning',
    'the gateway answers on the addresses of exactly these interfaces; those of a bond, a bridge or a VLAN above are not among them',
    'name the addresses of the bond, bridge or VLAN in listen.addresses; these here, if they are meant',
  ),

  /* Ports */
  'udp-port-taken': entry(
    'problem',
    'the XDP program takes packets to this port before any socket does: that program no longer gets its own',
    'move that program to another port, or set listen.port to another one, here and in the load balancers',
  ),
  'http-port-taken': entry(
    'problem',
    'the daemon does not start while another program listens there',
    'stop that program, or set control.http to a free port',
  ),
  'allow-empty': entry(
    'note',
    'anyone who reaches the interfaces may ask, since XDP comes before the host’s firewall; without a key there is no answer',
    'name the load balancers’ networks in listen.allow',
  ),

  /* The daemon */
  'daemon-away': entry(
    'warning',
    'nothing follows Redis: what the kernel holds, if it holds anything, grows old',
    'start it with: gateway run',
  ),
  'daemon-unreachable': entry(
    'warning',
    'what the daemon knows is missing here',
    'run this as root or as a member of the socket’s group',
  ),
  'daemon-not-understood': entry(
    'problem',
    'what listens on control.socket is no gateway of this version, or has stopped answering',
    'see which process has that socket; restart the daemon if it is one',
  ),
  'daemon-of-another-version': entry(
    'note',
    'it goes on as the version that it was started from',
    'restart the daemon; no lookup is lost meanwhile',
  ),
  'daemon-of-another-configuration': entry(
    'warning',
    'what is said here of settings is not what that daemon goes by',
    'name the configuration that it was started with by -c, or restart it with this one',
  ),
  'daemon-not-ready': entry(
    'warning',
    'lookups are answered with NOT_READY, or by an earlier program',
    'wait; if the number of sessions does not rise, see the daemon’s log',
  ),
  'daemon-not-connected': entry(
    'problem',
    'changes in Redis are not seen: what the kernel holds grows old',
    'mend the connection to Redis: what it says, and the checks of Redis below',
  ),
  'daemon-stale': entry(
    'problem',
    'replies carry the STALE flag: who is asked to may not trust them',
    'see the last failure, and the checks of Redis below',
  ),
  'daemon-large': entry('warning', 'it is meant to stay below {most} MB', 'report it with the log'),
  'table-full': entry(
    'problem',
    'sessions that found no room are not found',
    'raise sessions.capacity and restart the daemon; no lookup is lost meanwhile',
  ),
  'table-nearly-full': entry(
    'warning',
    'sessions that find no room are not found',
    'raise sessions.capacity and restart the daemon; no lookup is lost meanwhile',
  ),
  'table-was-full': entry(
    'warning',
    'sessions were refused since the table was made; they come in by a full load once there is room',
    'raise sessions.capacity if that goes on',
  ),
  'revocations-left-out': entry(
    'problem',
    'sessions that were revoked are answered for as if they were not',
    'mend or remove what is over or malformed in the table: docs/redis.md, "Tables"',
  ),

  /* Requests */
  'requests-forged': entry(
    'warning',
    'they are signed with another secret than the key of that id has here, or by nobody who has a key: no answer',
    'compare the key files of gateway and load balancers; if they agree, somebody is guessing',
  ),
  'requests-wrong-tags': entry(
    'problem',
    'the guard was right, which can not be guessed: a client with a mistake, somebody who has part of the key, or somebody who changes batches on the way',
    'if no client of yours is new, replace the key: docs/keys.md',
  ),
  'requests-of-unknown-keys': entry(
    'warning',
    'no key of that id is in force: no answer',
    'put the load balancers’ key into the key file and run gateway reload-keys, or give them one that is there',
  ),
  'requests-outside-key-times': entry(
    'warning',
    'their key is not yet, or no longer, valid: no answer',
    'give the load balancers a key that is: gateway keys list',
  ),
  'requests-skewed': entry(
    'warning',
    'their clock differs from this machine’s by more than listen.maxSkewMs',
    'run NTP here and on the load balancers',
  ),
  'requests-from-elsewhere': entry(
    'warning',
    'their source is not in listen.allow: no answer',
    'add the network of the load balancers to listen.allow, if it is theirs',
  ),
  'requests-left-to-host': entry(
    'note',
    'they have IP options, fragments or extension headers, which the program leaves to the host: answered slower there, or not at all',
    'let load balancers send plain packets that fit the MTU',
  ),
  'program-aborted': entry('problem', 'the program met what can not be', 'report it, with gateway status --json'),

  /* Redis */
  'redis-unreachable': entry(
    'problem',
    'the gateway goes on answering from what it holds, and that grows old',
    'see that it runs, and that redis.url, user, password and TLS are right',
  ),
  'redis-old': entry('problem', 'functions and reads that the gateway needs are missing', 'use Redis {least} or newer'),
  'redis-replica': entry(
    'warning',
    'it takes no writes, and is behind its master',
    'let redis.url lead to the master, or use redis.sentinel',
  ),
  'redis-info-refused': entry(
    'warning',
    'version, role, eviction and persistence are not known',
    'let this user call INFO, or see to them yourself',
  ),
  'redis-evicts-all': entry(
    'problem',
    'sessions, backends and the feed itself may be evicted; of an evicted session the gateway learns only at the next full comparison',
    'run: CONFIG SET maxmemory-policy noeviction, and put it into redis.conf',
  ),
  'redis-evicts-sessions': entry(
    'warning',
    'sessions have a TTL and so may be evicted, which loses them; the gateway learns of it only at the next full comparison, or by a notification',
    'run: CONFIG SET maxmemory-policy noeviction, and put it into redis.conf',
  ),
  'redis-memory-short': entry(
    'warning',
    'without eviction, writes are refused once the memory is full: no session can be made',
    'raise maxmemory, or let sessions end sooner',
  ),
  'redis-not-persistent': entry(
    'warning',
    'Redis is the only truth: a restart loses backends, revocations, facts and all sessions',
    'turn on appendonly, or save by snapshots',
  ),
  'redis-persistence-unknown': entry(
    'warning',
    'Redis is the only truth: if it saves nothing, a restart loses backends, revocations, facts and all sessions',
    'let this user call CONFIG GET, or see to it yourself that Redis appends or saves',
  ),
  'redis-persistence-fails': entry(
    'problem',
    'what changed since the last good save is lost with a restart; Redis may refuse writes too',
    'see Redis’s log: mostly a full disk or missing rights',
  ),
  'redis-no-replica': entry(
    'note',
    'while this server is away nothing can be written, and the gateways’ answers grow old',
    'add a replica, and sentinels that fail over to it',
  ),
  'redis-replicas-unheeded': entry(
    'note',
    'a master that is cut off from its replicas goes on taking writes that a failover loses',
    'run: CONFIG SET min-replicas-to-write 1, and put it into redis.conf',
  ),
  'redis-replicas-short': entry(
    'problem',
    'with fewer replicas than min-replicas-to-write Redis refuses all writes',
    'bring the replicas back, or lower that setting',
  ),
  'redis-clock-off': entry('warning', 'sessions end too early or too late by as much', 'run NTP on both machines'),
  'redis-time-refused': entry(
    'note',
    'the two clocks can not be compared',
    'let this user call TIME, or see that both clocks are right',
  ),
  'redis-rights-missing': entry(
    'problem',
    'the daemon uses these commands to follow Redis',
    'give the user what docs/redis.md, "Access control", has',
  ),
  'functions-missing': entry('warning', 'writers that call the functions fail', 'run: gateway redis install'),
  'functions-old': entry('warning', 'newer commands and checks are missing', 'run: gateway redis install'),
  'functions-unknown': entry(
    'note',
    'it is not known whether they are installed',
    'let this user call FUNCTION LIST, or as another user run: gateway redis install',
  ),
  'notifications-missing': entry(
    'problem',
    'Redis does not tell of all changes: they are seen only at the next full comparison',
    'run gateway doctor --set-notifications, and put {setting} into redis.conf, of replicas too, else it is lost with a restart or a failover',
  ),
  'notifications-unknown': entry(
    'warning',
    'it is not known whether Redis tells of all changes',
    'see that the service sends notifications, notify-keyspace-events with K and A, or Kg$hzxe',
  ),

  /* The feed */
  'feed-missing': entry(
    'warning',
    'no writer has used it: what they write is seen only at full comparisons',
    'write sessions with the functions or with XADD (docs/redis.md, "Feed"), or set feed.from: notifications',
  ),
  'feed-not-a-stream': entry(
    'problem',
    'the feed can not be followed',
    'rename that key, or set feed.stream to another name',
  ),
  'feed-unread': entry(
    'warning',
    'length and position of the feed are not known',
    'let this user call XINFO STREAM and XRANGE',
  ),
  'feed-long': entry(
    'warning',
    'writers that append without trimming fill the memory of Redis',
    'append by the functions, or with XADD MAXLEN ~ 1000000',
  ),
  'feed-overtaken': entry(
    'warning',
    'entries were trimmed before they were read; a full load makes up for them',
    'keep more of the stream: raise MAXLEN where writers append',
  ),
  'feed-nearly-overtaken': entry(
    'warning',
    'if the daemon falls behind by as much again, entries are trimmed unread, and a full load is needed',
    'see why the daemon is behind (CPU, network), or keep more of the stream',
  ),

  /* Backends */
  'backends-unread': entry('warning', 'it is not known whether the table is sane', 'see what Redis says'),
  'backends-none': entry(
    'warning',
    'no session is found',
    'add one with: gateway backend set NAME --id N --address HOST:PORT',
  ),
  'backend-wrong': entry(
    'problem',
    'nobody is placed on it, and gateways that start from now on answer its users as those of an unknown backend',
    'mend it with: gateway backend set {name} …',
  ),
  'backends-none-active': entry(
    'problem',
    'nobody new can be placed, and who is on a backend that is draining or down stays there',
    'run gateway undrain for one, or give one a weight',
  ),
  'backends-all-shed': entry('note', 'nobody is moved from one to another', 'run gateway shed NAME 0 for one'),
  'backends-unknown': entry(
    'warning',
    'sessions name backends that are not in the table: they are not found',
    'add these backends, or put right what writers write',
  ),
} as const satisfies Record<string, Entry>;

export type FindingCode = keyof typeof catalogue;
