// What comes without types, and is used by express-app.ts alone.
declare module 'express';
declare module 'express-session';
