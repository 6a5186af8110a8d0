// A real, certified OpenID Connect provider (the npm package oidc-provider) on loopback, for tests.
//
// Prints {"issuer": ...} once it serves. Whatever login is typed in is that account; what is known
// of accounts, which keys sign, and what is spoilt of an ID token is set by POST /test/control.
// Spoilt tokens are signed anew with the provider's own key: only what they say is wrong.

import http from 'node:http';
import { pathToFileURL } from 'node:url';
import path from 'node:path';

const modules = path.join(process.argv[2], 'node_modules');
const load = async (name) => import(pathToFileURL(path.join(modules, name)).href);
const { Provider } = await load('oidc-provider/lib/index.js');
const jose = await load('jose/dist/webapi/index.js');

const settings = JSON.parse(process.argv[3]);
const state = { accounts: {}, spoil: null, key: null };

async function newKey() {
  const { privateKey } = await jose.generateKeyPair('RS256', { extractable: true });
  const jwk = { ...await jose.exportJWK(privateKey), alg: 'RS256', use: 'sig' };
  return { ...jwk, kid: await jose.calculateJwkThumbprint(jwk) };
}

function configuration() {
  return {
    clients: [
      {
        client_id: settings.client_id,
        client_secret: settings.client_secret,
        redirect_uris: settings.redirect_uris,
        grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
        response_types: ['code'],
      },
    ],
    jwks: { keys: [state.key] },
    cookies: { keys: ['only for tests'] },
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['preferred_username', 'name', 'groups'],
    },
    conformIdTokenClaims: settings.thin_id_tokens,
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    findAccount: (ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, ...state.accounts[sub] }),
    }),
    // Everybody consents: the tests are about who signs in, not about what they share.
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid email profile');
      await grant.save();
      return grant;
    },
  };
}

async function spoilt(idToken) {
  const { unsigned, foreign, ...changes } = state.spoil;
  const claims = { ...jose.decodeJwt(idToken), ...changes };
  if (unsigned) return new jose.UnsecuredJWT(claims).encode();
  const key = foreign ? await newKey() : state.key;
  return new jose.SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', kid: state.key.kid })
    .sign(await jose.importJWK(key, 'RS256'));
}

function serve() {
  const provider = new Provider(issuer, configuration());
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.path === '/token' && state.spoil && ctx.body.id_token) {
      ctx.body.id_token = await spoilt(ctx.body.id_token);
    }
    if (ctx.path.startsWith('/.well-known') && settings.issuer_says) {
      ctx.body = { ...ctx.body, issuer: settings.issuer_says };
    }
  });
  return provider.callback();
}

async function control(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const asked = JSON.parse(Buffer.concat(chunks));
  if (asked.accounts) Object.assign(state.accounts, asked.accounts);
  if ('spoil' in asked) state.spoil = asked.spoil;
  if (asked.rotate) {
    state.key = await newKey();
    answer = serve();
  }
  response.setHeader('content-type', 'application/json');
  response.end('{}');
}

let answer = null;
const server = http.createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/test/control') {
    control(request, response).catch((error) => {
      response.statusCode = 500;
      response.end(String(error.stack));
    });
  } else {
    answer(request, response);
  }
});
server.listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
state.key = await newKey();
answer = serve();
console.log(JSON.stringify({ issuer }));
