terraform {
  required_version = ">= 1.6.0"

  backend "http" {}
}

locals {
  spec = {
    name       = var.name
    kind       = var.kind
    directory  = var.directory
    address    = var.address
    ssh_port   = var.ssh_port
    cloud_init = var.cloud_init
    packages   = var.packages
    listen     = var.listen
    fail_boot  = var.fail_boot
  }

  # What differs from a host as it is usually made; nothing, so that a usual one is not replaced for a new version's sake.
  doors  = concat(var.listen ? [] : ["nothing listens"], var.packages ? [] : ["no packages"])
  inside = concat(var.cloud_init ? [] : ["no cloud-init"], var.kind == "full" ? local.doors : [])
}

# The host's end. It has no provisioner that can fail when it is made, so it is never tainted: a tainted resource's own
# destroy provisioner would not run, and the host would be left behind.
resource "terraform_data" "host" {
  input = {
    program      = var.program
    python_path  = var.python_path
    instance     = { name = var.name, image = var.kind, ip_address = var.address, ssh_port = var.ssh_port }
    destroy_spec = jsonencode({ name = var.name, kind = var.kind, directory = var.directory })
  }

  triggers_replace = concat([var.name, var.kind, var.directory, var.address, var.ssh_port], local.inside)

  provisioner "local-exec" {
    when        = destroy
    interpreter = self.output.program
    command     = "destroy"
    environment = {
      PYTHONPATH            = self.output.python_path
      STEPMARK_SANDBOX_SPEC = self.output.destroy_spec
    }
  }
}

# The host's start, or its doors opened anew. User data is read at the first boot only; a change of it is no change of
# the host.
resource "terraform_data" "boot" {
  triggers_replace = concat([terraform_data.host.id], local.doors)

  provisioner "local-exec" {
    interpreter = var.program
    command     = "create"
    environment = {
      PYTHONPATH            = var.python_path
      STEPMARK_SANDBOX_SPEC = jsonencode(merge(local.spec, { user_data = var.user_data }))
    }
  }
}

output "instance_info" {
  description = "The host, as Stepmark reads it."
  value       = merge(terraform_data.host.output.instance, { status = "running" })

  depends_on = [terraform_data.boot]
}
