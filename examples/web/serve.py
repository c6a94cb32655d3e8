"""Start the state, then the workers: ``python serve.py 8000``."""

import os
import sys

import uvicorn
import zproc
from shop_state import Shop

if __name__ == "__main__":  # uvicorn runs this file again in each worker; zproc does not need this line
    with zproc.Context(Shop) as ctx:
        os.environ["SHOP_STATE"] = ctx.address  # the workers inherit it
        uvicorn.run("shop_app:app", port=int(sys.argv[1]), workers=2, log_level="warning", timeout_graceful_shutdown=2)
