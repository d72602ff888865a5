"""The bus over Redis or a server that speaks its protocol: PUB/SUB alone, nothing is ever stored there.

Each server is a *relay*. The engine publishes to all relays, a gateway listens to one of them and goes to
the next when that fails. What is lost is noticed by numbers, and made whole by joining anew or by a snapshot.
"""
