// Loaded before configurable-http-proxy: its TLS client checks the address that it connects to.
//
// The proxy hands on the header Host, and Node would check the certificate of what it connects to against that
// name: behind https://hub.example.org neither hub nor controller nor machines could be reached, and whoever
// has a certificate for a name that a browser may ask for would pass for every target.
//
// No public function of Node's has this in its hands: addRequest is the agent's own, called by every request with
// the options of its connection. That it is so is held by the pinned version of Node (deployment/constraints.txt)
// and by tests/unit/threats/test_certificates.py, which goes through a real proxy.
"use strict";

const https = require("node:https");
const net = require("node:net");

const { addRequest } = https.Agent.prototype;

https.Agent.prototype.addRequest = function (request, options, ...others) {
  // An address is no server name (RFC 6066, 3); Node then checks the certificate against the address itself.
  options.servername = net.isIP(options.host) ? "" : options.host;
  return addRequest.call(this, request, options, ...others);
};
