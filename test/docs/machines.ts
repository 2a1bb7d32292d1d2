/**
 * Two machines for the documents' commands, a gateway's and a load balancer's, on this one: each has its network, its processes,
 * and its own /etc, /var, /root, /run, /usr/local and BPF file system over those that are here. So commands run as they are written,
 * with the paths that are written, and nothing outlives the test.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TwoHosts } from '../../src/gateway/demo/network.ts';
import { endProcess } from '../../src/gateway/demo/redis-server.ts';
import type { Machine } from './markdown.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COMMAND_TIMEOUT_MS = 180_000;
/** What is written there is the machine's own. A folder that isn't there can't be laid over. */
const OWN = ['/etc', '/var', '/root', '/usr/local', '/srv'];
/** Where commands are run: an empty folder of a user. */
const HOME = '/root/work';
/** Names of this repository that are in that folder, as in a checkout, but for config: its gateway.yaml would be found first. */
const AT_HAND = ['integrations', 'LICENSE'];

/** Addresses that the documents name. */
const GATEWAY_ADDRESSES = ['192.0.2.1/24', '192.0.2.2/24', '10.0.0.5/24', '10.0.0.6/24'];
const LOAD_BALANCER_ADDRESSES = ['192.0.2.9/24', '10.0.0.9/24'];
/** The backends' and Redis' own, each on the machine that stands for them. */
const BACKEND_ADDRESSES = ['10.0.0.11/32', '10.0.0.12/32', '10.0.0.13/32'];
const REDIS_ADDRESS = '10.0.0.20/32';

export interface Result {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

class Place {
  readonly #unshare: ChildProcess;
  readonly #pid: number;
  readonly #namespace: string;
  readonly #directory: string;
  readonly #home: string;
  #count = 0;

  private constructor(unshare: ChildProcess, pid: number, namespace: string, directory: string, home: string) {
    this.#unshare = unshare;
    this.#pid = pid;
    this.#namespace = namespace;
    this.#directory = directory;
    this.#home = home;
  }

  static async make(namespace: string, directory: string, home: string): Promise<Place> {
    const overlays = OWN.filter((folder) => fs.existsSync(folder)).map((folder) => {
      const own = `/mnt/${folder.slice(1).replaceAll('/', '-')}`;
      const options = `lowerdir=${folder},upperdir=${own}/upper,workdir=${own}/work`;
      return `mkdir -p ${own}/upper ${own}/work; mount -t overlay overlay -o ${options} ${folder}`;
    });
    const script = [
      'mount -t tmpfs tmpfs /mnt',
      ...overlays,
      'mount -t tmpfs tmpfs /run; mount -t sysfs sysfs /sys; mount -t bpf bpf /sys/fs/bpf',
      `ln -sf ${ROOT}bin/gateway /usr/local/bin/gateway; ln -sf ${ROOT}.tools/node /usr/local/bin/node`,
      `mkdir -p ${HOME}; cd ${HOME}; ln -s ${AT_HAND.map((name) => ROOT + name).join(' ')} .`,
      'echo made; exec sleep infinity',
    ];
    const own = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-euc'];
    const child = spawn('nsenter', [`--net=/run/netns/${namespace}`, ...own, script.join('\n')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    const children = `/proc/${child.pid}/task/${child.pid}/children`;
    const pid = fs.existsSync(children) ? Number(fs.readFileSync(children, 'utf8').trim().split(' ')[0]) : 0;
    if (child.exitCode !== null || pid === 0)
      throw new Error(`a machine for the documents could not be made: ${stderr}`);
    return new Place(child, pid, namespace, directory, home);
  }

  /** What stays in the background goes on; it ends with the machine. */
  async run(script: string, shell = ['bash', '-eu', '-o', 'pipefail', '-c']): Promise<Result> {
    this.#count += 1;
    const files = ['out', 'err'].map((name) => join(this.#directory, `${this.#namespace}-${this.#count}.${name}`));
    const [out, err] = files.map((file) => fs.openSync(file, 'w'));
    const enter = [`--net=/run/netns/${this.#namespace}`, '--mount', '--pid', '--target', String(this.#pid)];
    const child = spawn('nsenter', [...enter, `--wdns=${this.#home}`, ...shell, script], {
      stdio: ['ignore', out, err],
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8' },
    });
    for (const descriptor of [out, err]) if (descriptor !== undefined) fs.closeSync(descriptor);
    const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_TIMEOUT_MS);
    const [code, signal] = await once(child, 'exit');
    clearTimeout(timer);
    const [stdout = '', stderr = ''] = files.map((file) => fs.readFileSync(file, 'utf8'));
    return { exit: code ?? -1, stdout, stderr: signal === null ? stderr : `${stderr}ended by ${signal}` };
  }

  /** Ends everything that runs on it. */
  async close(): Promise<void> {
    if (this.#unshare.exitCode !== null || this.#unshare.signalCode !== null) return;
    process.kill(this.#pid, 'SIGKILL');
    await endProcess(this.#unshare, 5_000);
  }
}

export class Machines {
  readonly #directory: string;
  readonly #network: TwoHosts;
  readonly #places = new Map<Machine, Place>();

  private constructor(name: string) {
    this.#directory = fs.mkdtempSync(join(tmpdir(), `${name}-`));
    this.#network = new TwoHosts(name);
  }

  /** With a Redis at 127.0.0.1 and 10.0.0.20 of the gateway's machine. @param home where commands are run; by default an empty folder */
  static async make(name: string, home = HOME): Promise<Machines> {
    const machines = new Machines(name);
    try {
      await machines.#make(home);
    } catch (error) {
      await machines.close();
      throw error;
    }
    return machines;
  }

  async #make(home: string): Promise<void> {
    const { gatewayNamespace, clientNamespace, clientInterface, gatewayInterface } = this.#network;
    const ip = (namespace: string, ...args: string[]): void => {
      execFileSync('ip', ['-n', namespace, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    };
    ip(gatewayNamespace, 'link', 'set', gatewayInterface, 'down');
    ip(gatewayNamespace, 'link', 'set', gatewayInterface, 'name', 'eth0');
    ip(gatewayNamespace, 'link', 'set', 'eth0', 'up');
    for (const address of GATEWAY_ADDRESSES) ip(gatewayNamespace, 'addr', 'add', address, 'dev', 'eth0');
    for (const address of LOAD_BALANCER_ADDRESSES) ip(clientNamespace, 'addr', 'add', address, 'dev', clientInterface);
    for (const address of BACKEND_ADDRESSES) ip(clientNamespace, 'addr', 'add', address, 'dev', 'lo');
    ip(gatewayNamespace, 'addr', 'add', REDIS_ADDRESS, 'dev', 'lo');
    this.#places.set('gateway', await Place.make(gatewayNamespace, this.#directory, home));
    this.#places.set('load-balancer', await Place.make(clientNamespace, this.#directory, home));
    await this.run(
      'gateway',
      `redis-server --daemonize yes --save "" --appendonly no --dir /run --bind 127.0.0.1 10.0.0.20 --protected-mode no
       for i in $(seq 300); do redis-cli ping && exit; sleep 0.1; done; exit 1`,
    );
  }

  /** @param shell a command that takes the script as its last argument; by default bash, that ends at the first failure */
  async run(machine: Machine, script: string, shell?: string[]): Promise<Result> {
    const place = this.#places.get(machine);
    if (place === undefined) throw new Error(`no machine ${machine}`);
    return place.run(script, shell);
  }

  async close(): Promise<void> {
    for (const place of this.#places.values()) await place.close();
    this.#network.close();
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}
