"""A gRPC server that answers with its own name: `python grpcserver.py NAME`, prints its port. Dies with its stdin."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc


def main(name: str) -> None:
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: name.encode())
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Who", {"Are": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main(sys.argv[1])
