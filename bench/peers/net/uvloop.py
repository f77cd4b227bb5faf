"""asyncio's servers on uvloop, which is asyncio with another loop underneath."""

import uvloop

from peers.net.asyncio import SERVERS
from peers.net.serving import main

if __name__ == "__main__":
    main(SERVERS, uvloop.run)
