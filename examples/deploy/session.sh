# A server that lives as long as it is wanted, and programs that come and go.
export ZPROC_ADDRESS="unix://$PWD/bakery.sock"

zproc serve bakery:Bakery --pidfile bakery.pid > serve.log &
until zproc ping > ping.log 2>&1; do sleep 0.1; done

zproc set oven.temperature 180
zproc set cookies 12
zproc get oven.temperature
zproc set cookies -1 || echo "refused, exit code $?"

python -c '
import os, zproc
from bakery import Bakery, bake
with zproc.Context(Bakery, address=os.environ["ZPROC_ADDRESS"]) as ctx:
    print(bake(ctx.state, 2), "cookies")
'
zproc log --json
zproc watch cookies --since 0 --count 2
zproc ps
zproc doctor > doctor.log

kill "$(cat bakery.pid)"
wait
