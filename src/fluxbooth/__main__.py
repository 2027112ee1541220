import sys

from fluxbooth.cli.main import main

sys.exit(main())
