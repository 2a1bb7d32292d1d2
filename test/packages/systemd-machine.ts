/**
 * A Debian machine with systemd in it: this machine's own files, which it writes to without changing them (overlayfs), with processes,
 * mounts, BPF file system and cgroups of its own, in a network namespace that is given. Nothing of it is left when it is stopped.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const WAIT_MS = 60_000;
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];

/**
 * $1: an empty folder. systemd mounts the BPF file system for root alone, and so does this. What Debian has it start early is left out: it
 * would set this machine's kernel variables and load modules.
 */
const BOOT = `
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf -o mode=700 bpf sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs dev
for device in ${DEVICES.join(' ')}; do touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
mkdir dev/shm dev/pts dev/mqueue dev/hugepages
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir -p usr/lib/systemd/system/sysinit.target.wants
mount -t tmpfs tmpfs usr/lib/systemd/system/sysinit.target.wants
for target in sysinit basic sockets timers; do
  if [ -d "etc/systemd/system/$target.target.wants" ]; then mount -t tmpfs tmpfs "etc/systemd/system/$target.target.wants"; fi
done
# As systemd makes them where it finds no container: what it hands to services is mounted by a helper.
mount --make-rshared .
# In containers it keeps packages from starting services.
rm -f usr/sbin/policy-rc.d
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd --system --unit=basic.target \\
  --log-target=console --show-status=0
`;

export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class SystemdMachine {
  readonly #folder = fs.mkdtempSync(join(tmpdir(), 'systemd-machine-'));
  readonly #cgroup: string;
  readonly #unshare: ChildProcess;
  #words = '';
  /** systemd's id, seen from here. */
  #systemd = 0;

  private constructor(name: string, networkNamespace: string) {
    this.#cgroup = join(cgroupRoot(), name);
    fs.mkdirSync(this.#cgroup);
    const namespaces = ['--mount', '--pid', '--ipc', '--uts', '--cgroup', '--fork', '--kill-child=KILL'];
    const boot = ['unshare', ...namespaces, 'bash', '-c', BOOT, 'boot', this.#folder];
    // Into its cgroup first: the namespace of cgroups begins where it is made.
    const script = `echo $$ > ${this.#cgroup}/cgroup.procs && exec "$@"`;
    const args = ['-c', script, 'sh', 'nsenter', `--net=/run/netns/${networkNamespace}`, ...boot];
    this.#unshare = spawn('sh', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#unshare.stdout, this.#unshare.stderr])
      stream?.on('data', (data) => {
        this.#words = (this.#words + data).slice(-10_000);
      });
  }

  /** @param name tells its cgroup from others */
  static async start(name: string, networkNamespace: string): Promise<SystemdMachine> {
    const machine = new SystemdMachine(name, networkNamespace);
    try {
      await machine.#booted();
    } catch (error) {
      await machine.stop();
      throw error;
    }
    return machine;
  }

  async #booted(): Promise<void> {
    const pid = this.#unshare.pid;
    await until(`systemd has started: ${this.#words}`, async () => {
      if (this.#unshare.exitCode !== null) throw new Error(`systemd did not start: ${this.#words}`);
      const [child] = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
      this.#systemd = Number(child);
      if (!child || fs.readFileSync(`/proc/${child}/comm`, 'utf8') !== 'systemd\n') return false;
      const { stdout } = await this.run('systemctl', 'is-system-running');
      return ['running', 'degraded'].includes(stdout.trim());
    });
  }

  /** A path of the machine's, seen from here. */
  path(inside: string): string {
    return `/proc/${this.#systemd}/root${inside}`;
  }

  /** Runs a command there as root. */
  run(command: string, ...args: string[]): Promise<Result> {
    // The folder that is its root is given as seen from here; its environment is a bare one.
    const enter = [
      `--target=${this.#systemd}`,
      '--mount',
      '--pid',
      '--ipc',
      '--uts',
      '--cgroup',
      '--net',
      '--root',
      '--wdns=/',
    ];
    const bare = [
      'env',
      '-i',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
      'LC_ALL=C.UTF-8',
      'DEBIAN_FRONTEND=noninteractive',
    ];
    return new Promise((resolve) => {
      execFile('nsenter', [...enter, ...bare, command, ...args], { timeout: WAIT_MS }, (error, stdout, stderr) => {
        const status = error === null ? 0 : Number(error.code ?? -1);
        resolve({ status, stdout, stderr });
      });
    });
  }

  /** @throws Error when it fails. @returns what it printed */
  async must(command: string, ...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(command, ...args);
    if (status !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  async stop(): Promise<void> {
    if (this.#unshare.exitCode === null && this.#unshare.signalCode === null) {
      const exit = once(this.#unshare, 'exit');
      // With it goes the first process there, and with that all others, and the mounts.
      this.#unshare.kill('SIGKILL');
      await exit;
    }
    await until('its cgroups are empty', () => removeCgroups(this.#cgroup));
    fs.rmdirSync(this.#folder);
  }
}

/** Where the second version of cgroups is mounted. */
function cgroupRoot(): string {
  const [, path] = /^\S+ (\S+) cgroup2 /m.exec(fs.readFileSync('/proc/mounts', 'utf8')) ?? [];
  if (path === undefined) throw new Error('found no cgroup2 in /proc/mounts: this test needs it for systemd');
  return path;
}

/** @returns whether all could be removed: processes that were killed take a moment to leave */
function removeCgroups(folder: string): boolean {
  try {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) removeCgroups(join(folder, entry.name));
    fs.rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`waited in vain: ${what}`);
    await sleep(50);
  }
}
