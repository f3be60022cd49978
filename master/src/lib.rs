//! Client of a Buildbot master: REST, websocket, login, assembly, catch-up.
