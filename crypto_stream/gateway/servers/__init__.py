"""Green-thread servers, one file each: importing such a file first makes the standard library green.

Each offers `ASYNC_MODE` (Flask-SocketIO's name of it), `KEPT_ALIVE` (its header lines that confirm a
`Connection: keep-alive`), `Hub` (`delivery.hub`), `Pause` (`fast.desk`) and `Server(app, listener, manners)`
with `running`, `sweep()` and `stop()`; the library's own parser sees only what the intake (`http.intake`)
gives it.
"""
