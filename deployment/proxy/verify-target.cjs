// Loaded before configurable-http-proxy: its TLS client checks the address that it connects to.
//
// The proxy hands on the header Host, and Node would check the certificate of what it connects to against that
// name: behind https://hub.example.org neither hub nor controller nor machines could be reached, and with
// "Host: localhost", which all their certificates name, each would pass for every other.
"use strict";

const https = require("node:https");
const net = require("node:net");

const { addRequest } = https.Agent.prototype;

https.Agent.prototype.addRequest = function (request, options, ...others) {
  if (net.isIP(options.host)) options.servername = "";
  return addRequest.call(this, request, options, ...others);
};
