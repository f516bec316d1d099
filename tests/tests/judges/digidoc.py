# Prints, for each container named, what libdigidocpp finds in it, as JSON lines.
# Usage: digidoc.py URL CONTAINER...    URL takes the place of the European list of trusted lists, which
# the library wants to download: what is asked here has nothing to do with it.
import json
import sys

import pydigidoc
from pydigidoc import digidoc

conf = digidoc.DigiDocConf(pydigidoc._SCHEMA_DIR)
conf.set_tslurl(sys.argv[1])
digidoc.Conf.init(conf)
conf.thisown = False
digidoc.initialize("Causeway", "Causeway")
for path in sys.argv[2:]:
    try:
        container = pydigidoc.Container.open(path)
        files = {f.file_name(): [f.file_size(), f.media_type()] for f in container.data_files()}
        signatures = [
            {
                "id": s.id(),
                "method": s.signature_method(),
                "time": s.claimed_signing_time(),
                "policy": s.policy(),
                "signer": list(s.signing_certificate()) if s.signing_certificate() else None,
            }
            for s in container.signatures()
        ]
        print(json.dumps({"media_type": container.media_type(), "files": files, "signatures": signatures}))
    except RuntimeError as error:
        print(json.dumps({"error": str(error)}))
