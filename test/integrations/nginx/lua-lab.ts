/** Runs pieces of Lua inside a real nginx, where the module's files live: the tests' way to them one by one. */
import * as fs from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LUA_DIRECTORY, NginxProcess } from '../../../integrations/nginx/nginx-process.ts';

export class LuaLab {
  readonly directory: string;
  readonly #nginx: NginxProcess;

  private constructor(directory: string, nginx: NginxProcess) {
    this.directory = directory;
    this.#nginx = nginx;
  }

  static async start(): Promise<LuaLab> {
    const directory = fs.mkdtempSync(join(tmpdir(), 'sgw-lua-'));
    const conf = `
      user root; worker_processes 1; pid ${directory}/nginx.pid;
      include /etc/nginx/modules-enabled/*.conf;
      events {}
      http {
        access_log off; client_body_buffer_size 8m; client_max_body_size 8m;
        lua_package_path "${LUA_DIRECTORY}/?.lua;;";
        lua_shared_dict session_gateway 1m;
        init_by_lua_block {
          function hex(text) return (text:gsub(".", function(c) return string.format("%02x", c:byte()) end)) end
        }
        server {
          listen unix:${directory}/lab.sock;
          location / {
            content_by_lua_block {
              ngx.req.read_body()
              ngx.print(assert(loadstring(ngx.req.get_body_data()))())
            }
          }
        }
      }`;
    return new LuaLab(directory, await NginxProcess.startWith(directory, conf));
  }

  /** @returns what the Lua returns, as text. @throws Error where it fails, with nginx's log */
  run(lua: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: join(this.directory, 'lab.sock'), method: 'POST' }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.on('error', reject);
        response.on('end', () => {
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(this.#nginx.log()));
        });
      });
      asked.on('error', reject);
      asked.end(lua);
    });
  }

  async close(): Promise<void> {
    await this.#nginx.stop();
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A Lua string literal with these bytes. */
export function luaString(bytes: string | Uint8Array): string {
  return `"${[...Buffer.from(bytes)].map((byte) => `\\${String(byte).padStart(3, '0')}`).join('')}"`;
}
