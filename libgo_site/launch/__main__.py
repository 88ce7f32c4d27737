import sys

from libgo_site.launch.cli import main

sys.exit(main(sys.argv[1:]))
