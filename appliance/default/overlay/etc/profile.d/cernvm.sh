# Terminals use the environment that notebooks run in, not the server's.
PATH=/opt/kernel/bin:$PATH
export PATH
