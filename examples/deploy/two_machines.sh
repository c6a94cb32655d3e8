# On the server: keys for itself and for a client, and a server that only takes clients whose keys it knows.
zproc keys new keys ada
zproc serve bakery:Bakery --address tcp://0.0.0.0:17913 --keys keys/server > serve.log &
server=$!

# On the client: its own directory of keys, copied from the server over a way that you trust (keys/ada).
export ZPROC_ADDRESS=tcp://127.0.0.1:17913 ZPROC_KEYS=keys/ada
until zproc ping > ping.log 2>&1; do sleep 0.1; done
zproc set cookies 3
zproc get cookies

# Whoever has no key, or another one, is told so.
zproc keys new others eve > others.log
zproc get cookies --keys others/eve || echo "refused, exit code $?"

kill $server
wait
