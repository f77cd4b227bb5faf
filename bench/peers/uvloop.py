"""asyncio's programs on uvloop, which is asyncio with another loop underneath."""

import uvloop

from peers.asyncio import ROWS
from peers.measure import main

if __name__ == "__main__":
    main(ROWS, uvloop.run)
