// An OpenID provider (oidc-provider, certified by the OpenID Foundation) on loopback.
//
// Arguments: PORT ISSUER REDIRECT KEY. Everybody may sign in by any password; who one is says the name: the part behind a
// dot is one's group. KEY names the key that signs; another name is another key. Prints a line of JSON when it listens.
"use strict";

const { createHash, createPrivateKey, hkdfSync } = require("node:crypto");
const { Provider } = require("oidc-provider");

const [port, issuer, redirect, name] = process.argv.slice(2);

// A key of P-256 that is the same at each start: RFC 5915 around 32 bytes made of its name.
function key() {
  const secret = Buffer.from(hkdfSync("sha256", name, "", "", 32));
  const head = Buffer.from("30310201010420", "hex");
  const der = Buffer.concat([head, secret, Buffer.from("a00a06082a8648ce3d030107", "hex")]);
  const jwk = createPrivateKey({ key: der, format: "der", type: "sec1" }).export({ format: "jwk" });
  return { ...jwk, kid: createHash("sha256").update(name).digest("hex"), use: "sig", alg: "ES256" };
}

const provider = new Provider(issuer, {
  clients: [{
    client_id: "penstock",
    client_secret: "a secret of the test's own, long enough",
    redirect_uris: [redirect],
    response_types: ["code"],
    grant_types: ["authorization_code"],
    id_token_signed_response_alg: "ES256",
  }],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email"] },
  cookies: { keys: ["a key of the test's own"] },
  findAccount: (context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, groups: ["staff", id.split(".").pop()], email: `${id}@contoso.com` }),
  }),
  jwks: { keys: [key()] },
  pkce: { required: () => true },
  ttl: { Session: 3600, Grant: 3600, Interaction: 3600, AccessToken: 600, AuthorizationCode: 60, IdToken: 600 },
});

provider.listen(Number(port), "127.0.0.1", () => console.log(JSON.stringify({ issuer })));
