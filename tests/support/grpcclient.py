"""gRPC's own xDS client: `python grpcclient.py TARGET`, with GRPC_XDS_BOOTSTRAP. For each line on stdin it makes that
many calls on one channel and prints how often which server answered, as JSON."""

import collections
import json
import sys

import grpc


def main(target: str) -> None:
    channel = grpc.insecure_channel(target)
    call = channel.unary_unary("/test.Who/Are")
    for line in sys.stdin:
        answers = collections.Counter()
        for _ in range(int(line)):
            try:
                answers[call(b"", timeout=5, wait_for_ready=True).decode()] += 1
            except grpc.RpcError as error:
                answers[str(error.code())] += 1
        print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
