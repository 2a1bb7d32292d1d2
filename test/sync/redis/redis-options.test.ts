import { describe, expect, it } from 'vitest';
import { redisOptions } from '../../../src/sync/redis/redis-options.ts';

const options = (url: string, more = {}) => redisOptions({ url, ...more }, 'test');

describe('redisOptions', () => {
  it.each([
    ['redis://127.0.0.1:6379/0', { host: '127.0.0.1', port: 6379, db: 0 }],
    ['redis://redis.example/3', { host: 'redis.example', port: 6379, db: 3 }],
    ['redis://[2001:db8::1]:7000', { host: '2001:db8::1', port: 7000, db: 0 }],
    ['redis://user:p%40ss%3A@h', { host: 'h', username: 'user', password: 'p@ss:' }],
    ['redis://:pass@h', { password: 'pass' }],
    ['rediss://h:6380', { host: 'h', port: 6380, tls: {} }],
    ['unix:///run/redis/redis.sock', { path: '/run/redis/redis.sock', db: 0 }],
    ['unix:///run/a%20b.sock?db=2', { path: '/run/a b.sock', db: 2 }],
  ])('%s', (url, expected) => {
    expect(options(url)).toMatchObject(expected);
  });

  it('makes a connection that is never made again by itself, nor sends anything twice', () => {
    expect(options('redis://h')).toMatchObject({
      protocol: 2,
      retryStrategy: null,
      maxRetriesPerRequest: null,
      enableOfflineQueue: false,
      lazyConnect: true,
    });
    expect(options('redis://h')).not.toHaveProperty('username');
    expect(options('redis://h')).not.toHaveProperty('password');
    expect(options('redis://h')).not.toHaveProperty('tls');
  });

  it('prefers the configured user and password to those of the URL', () => {
    const configured = options('redis://a:b@h', { username: 'u', password: 'p' });
    expect(configured).toMatchObject({ username: 'u', password: 'p' });
    expect(options('redis://a:b@h', { username: null, password: null })).toMatchObject({
      username: 'a',
      password: 'b',
    });
  });

  it('passes TLS options on, only where TLS is used', () => {
    expect(options('rediss://h', { tls: () => ({ servername: 's' }) }).tls).toEqual({ servername: 's' });
    expect(() => options('redis://h', { tls: () => ({}) })).toThrow('redis.tls: found with redis://');
  });

  it.each([
    ['127.0.0.1:6379', 'redis.url: found'],
    ['', 'redis.url: found text that is not a URL'],
    ['http://h', 'redis.url: found protocol http:'],
    ['redis:///1', 'redis.url: found no host'],
    ['redis://h/x', 'redis.url: found a database that is not a number'],
    ['redis://h/1000000', 'redis.url: found a database that is not a number'],
    ['redis://h?db=1', 'redis.url: found parameter db'],
    ['redis://user:secret@h?x=1', 'redis.url: found parameter x'],
    ['unix:///s?keyPrefix=x', 'redis.url: found parameter keyPrefix'],
  ])('refuses "%s", without repeating it', (url, message) => {
    expect(() => options(url)).toThrow(message);
    expect(() => options(url)).toThrow(expect.not.objectContaining({ message: expect.stringContaining('secret') }));
  });
});
