from .app import (
    Limits as Limits,
    Service as Service,
)
from .served import open_served as open_served
from .server import (
    bind as bind,
    require_libraries as require_libraries,
    run_server as run_server,
)
