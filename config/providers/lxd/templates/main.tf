terraform {
  required_version = ">= 1.6.0"

  backend "http" {}

  required_providers {
    lxd = {
      source  = "terraform-lxd/lxd"
      version = ">= 2.4.0, < 3.0.0"
    }
  }
}

# Remotes and certificates are those of the worker's own `lxc`.
provider "lxd" {}

locals {
  container = var.type == "container"

  config = {
    "boot.autostart"       = "true"
    "cloud-init.user-data" = var.user_data
    "user.stepmark"        = var.name
    # Whose address is the instance's: without this, Docker's bridge may be taken for it.
    "user.access_interface" = local.container ? "eth0" : "enp5s0"
  }

  # Docker runs in a container only if that may nest.
  nesting = local.container ? { "security.nesting" = "true" } : {}

  limits = {
    cpu    = var.cpus == null ? null : tostring(var.cpus)
    memory = var.memory_mib == null ? null : "${var.memory_mib}MiB"
  }
}

resource "lxd_instance" "host" {
  name     = var.name
  image    = var.image
  type     = var.type
  remote   = var.remote
  project  = var.project
  profiles = var.profiles
  config   = merge(local.config, local.nesting)
  limits   = { for name, limit in local.limits : name => limit if limit != null }

  dynamic "device" {
    for_each = var.disk_gib == null ? [] : [var.disk_gib]

    content {
      name = "root"
      type = "disk"
      properties = {
        path = "/"
        pool = var.storage_pool
        size = "${device.value}GiB"
      }
    }
  }

  lifecycle {
    # It is read at the first boot only; a change of it is no change of the instance.
    ignore_changes = [config["cloud-init.user-data"]]
  }
}

output "instance_info" {
  description = "The host, as Stepmark reads it."
  value = {
    name       = lxd_instance.host.name
    image      = lxd_instance.host.image
    status     = lxd_instance.host.status
    ip_address = lxd_instance.host.ipv4_address
    ssh_port   = var.ssh_port
  }
}
