"""HTTP/1.1 server and client over httptools (llhttp). Contract: `types.py`.

Why not uvicorn/aiohttp: exec needs the raw connection after an upgrade (SPDY/3.1 too, which ASGI cannot carry), the API
server needs the client's certificate, and this is 2-3x less CPU a request and 0.2 s less start-up a process (ADR 1).
"""
