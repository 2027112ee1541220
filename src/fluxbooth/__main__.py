import sys

from fluxbooth.cli import main

sys.exit(main())
