"""Names on the wire, each spelled once.

A label or annotation is a contract with users' selectors, with policies and with pods that outlive the operator that
made them: renaming one is a change of the API.
"""

GROUP = "berth.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

JOB_KIND = "TrainingJob"
JOB_PLURAL = "trainingjobs"
POOL_KIND = "AcceleratorPool"
POOL_PLURAL = "acceleratorpools"

FIELD_MANAGER = "berth"

LABEL_JOB = f"{GROUP}/job"
"""On pods and Services: the TrainingJob's name."""
LABEL_JOB_UID = f"{GROUP}/job-uid"
"""On pods: the TrainingJob's uid, so that a job made anew under an old name never takes over old pods."""
LABEL_ATTEMPT = f"{GROUP}/attempt"
"""On pods and Services: the attempt, counted from 1."""
LABEL_REPLICA = f"{GROUP}/replica"
"""On pods: the rank of the replica, counted from 0 in network order."""

LABEL_EPOCH = f"{GROUP}/epoch"
"""On pods: the term of the leader that made them, by which the policy `berth-fence` refuses those of a former one."""

ANNOTATION_DEVICES = f"{GROUP}/devices"
"""On pods, where Berth chose their devices: the positions of these in the node, `0,1,2,3`, whatever the make."""

RESERVED_PREFIX = f"{GROUP}/"
"""Labels and annotations with this prefix are Berth's: a template may not set them."""

COORDINATOR_PORT = 29500
"""Where rank 0 listens for the rendezvous: torchrun's own default."""
